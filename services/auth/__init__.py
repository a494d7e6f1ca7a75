"""Who is who: accounts, memberships, sessions, API tokens, signing keys, and the pass of every call inside the suite.

RPCs: Login, Refresh, Logout, Heartbeat, GetMe; sessions, sites and step-up; factors (TOTP, passkeys, devices' keys,
passwords); users, roles and tokens of a tenant; OAuth; GetJwks; ExchangeToken.
Events out: SessionRevoked, TokenRevoked, RoleChanged, RoleDefinitionChanged, ClientRevoked, TenantStatusChanged,
UserCreated, UserUpdated. Events in: those of tenants about themselves, OrderStatusChanged.

Decision: an account is the person's and global; what a tenant knows of a person (name, role, sites, status) is a
membership, of which row-level security shows a tenant its own. Sessions and refresh tokens belong to the person:
their rows are seen by a transaction that has named that person. What must be found before a tenant or a person is
known (account by e-mail, session by id, token by hash) goes through narrow SECURITY DEFINER functions of the owner's
role, one key in and one holder out. The process's own role can therefore never list across tenants or persons.
"""
