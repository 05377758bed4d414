/** The same settings have other names and other steps on managed services. */
import { quoteIdentifier } from '../postgres/server.ts';

interface Provider {
  readonly name: string;
  /** A role that exists only on this provider's servers. */
  readonly role: string;
  readonly walLevel: string;
  grant(role: string): string;
  readonly direct: string;
}

const attribute = (role: string) => `ALTER ROLE ${quoteIdentifier(role)} REPLICATION;`;

const providers: readonly Provider[] = [
  {
    name: 'Amazon RDS or Aurora',
    role: 'rds_superuser',
    walLevel:
      'Set rds.logical_replication = 1 in the parameter group of the instance (Aurora: of the cluster), and reboot.',
    grant: (role) => `GRANT rds_replication TO ${quoteIdentifier(role)};`,
    direct: 'Connect to the endpoint of the instance or cluster, not to an RDS Proxy.',
  },
  {
    name: 'Google Cloud SQL',
    role: 'cloudsqlsuperuser',
    walLevel: 'Set the flag cloudsql.logical_decoding = on; the instance restarts.',
    grant: attribute,
    direct: 'Connect to the instance itself (the Cloud SQL Auth Proxy works), not to a pooler.',
  },
  {
    name: 'Azure Database for PostgreSQL',
    role: 'azure_pg_admin',
    walLevel: 'Set the server parameter wal_level = LOGICAL, save, and restart the server.',
    grant: attribute,
    direct: 'Connect to port 5432. Port 6432 is PgBouncer.',
  },
  {
    name: 'Supabase',
    role: 'supabase_admin',
    walLevel: 'Supabase sets wal_level to logical by default. Check the database settings of the project.',
    grant: (role) => `${attribute(role)} -- as postgres`,
    direct:
      'Use the direct connection, db.<project>.supabase.co:5432 (IPv6, or the IPv4 add-on), not pooler.supabase.com.',
  },
  {
    name: 'Neon',
    role: 'neon_superuser',
    walLevel: 'Turn on logical replication in the settings of the project; its computes restart.',
    grant: (role) =>
      `Use a role created with the Neon console, CLI or API: such a role may replicate, ${quoteIdentifier(role)} may not.`,
    direct: 'Remove -pooler from the host name.',
  },
];

export const providerRoles = providers.map(({ role }) => role);

const selfHosted: Omit<Provider, 'role' | 'name'> = {
  walLevel: "ALTER SYSTEM SET wal_level = 'logical'; and restart the server.",
  grant: attribute,
  direct: 'Connect to PostgreSQL itself. PgBouncer, pgcat and similar poolers have another port, often 6432.',
};

/** The provider of a server that has these roles. */
export function providerOf(roles: readonly string[]): Omit<Provider, 'role' | 'name'> & { readonly name?: string } {
  return providers.find(({ role }) => roles.includes(role)) ?? selfHosted;
}
