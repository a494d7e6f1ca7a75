"""Tenants, their sites and the stations in them.

Owns: tenants, sites, stations.
RPCs: ListTenants, CreateTenant, GetTenant, UpdateTenant; ListSites, CreateSite, GetSite, UpdateSite, DeleteSite;
ListStations, CreateStation, GetStation, UpdateStation, DeleteStation.
Events out: none yet: nobody keeps a copy of these.
Events in: none.

Tenants are the platform's: its operators list and change all of them through the methods that say so.
"""
