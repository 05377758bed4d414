import type { ColumnType, Generated, GeneratedAlways, JSONColumnType } from 'kysely';

export type UserId = number & { readonly __brand: 'UserId' };

export interface Address {
  readonly street: string;
}

/** The output of kysely-codegen for a database: the schema type of these tests. */
export interface DB {
  users: {
    id: Generated<number>;
    email: string;
    role_id: number | null;
    state: Generated<'active' | 'blocked'>;
    balance: ColumnType<bigint, bigint | number, number>;
    verified: boolean;
    address: JSONColumnType<Address>;
    tags: string[];
    created_at: ColumnType<Date, string | undefined, never>;
    deleted_at: Date | null;
    raw: unknown;
  };
  /** A key with a branded type, outside `public`. */
  'billing.invoices': {
    id: ColumnType<UserId, number, never>;
    user_id: number;
    total: ColumnType<string, string | number>;
  };
  'public.audit_log': { id: GeneratedAlways<string>; actor: string | null };
  /** No column `id`. */
  order_lines: { order_id: number; line: number; qty: number };
}
