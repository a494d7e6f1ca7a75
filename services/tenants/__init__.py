"""Tenants, their sites and the stations in them, how they are set up, and their settings documents.

Owns: tenants, sites, stations, settings with their history.
RPCs: ListTenants to ResumeTenant, GetTenantConfig, UpdateTenantConfig; ListSites to DeleteSite, ListStations to
DeleteStation, ResolveSites (for services); ListSettingKinds to GetStationSettingVersion.
Events out: TenantCreated, TenantUpdated, TenantSuspended, TenantResumed; SiteCreated, SiteUpdated, SiteDeleted;
StationCreated, StationUpdated, StationDeleted; SettingsChanged.
Events in: none.

Tenants are the platform's: its operators list and change all of them through the methods that say so. Whoever adds a
site or station holds the lock on the tenant's row, whoever writes a settings document the lock on the document's.
"""
