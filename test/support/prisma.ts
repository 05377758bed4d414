/**
 * Prisma 7 with its real client and adapter, without `prisma generate`: the command line downloads an engine of 30 MB, and needs 230 MB
 * of packages. This is what the generator writes for a schema without models.
 */
import { PrismaPg } from '@prisma/adapter-pg';
import { getPrismaClient, type ITXClientDenyList } from '@prisma/client/runtime/client';

/** The methods of a generated client that do not depend on models, as the generator declares them. */
export interface PrismaClient {
  $connect(): Promise<void>;
  $disconnect(): Promise<void>;
  $executeRawUnsafe(query: string, ...values: any[]): Promise<number>;
  $transaction<R>(work: (tx: TransactionClient) => Promise<R>): Promise<R>;
  $on(event: string, listener: () => void): this;
  $extends(extension: object): PrismaClient;
}
export type TransactionClient = Omit<PrismaClient, ITXClientDenyList>;

const Client = getPrismaClient({
  previewFeatures: [],
  clientVersion: '7',
  engineVersion: '7',
  activeProvider: 'postgresql',
  inlineSchema:
    'generator client {\n  provider = "prisma-client"\n  output = "."\n}\ndatasource db {\n  provider = "postgresql"\n}\n',
  runtimeDataModel: { models: {}, enums: {}, types: {} },
  parameterizationSchema: { strings: [], graph: Buffer.alloc(8).toString('base64url') },
  compilerWasm: {
    getRuntime: () => import('@prisma/client/runtime/query_compiler_fast_bg.postgresql.mjs' as string),
    async getQueryCompilerWasmModule() {
      const { wasm } = await import(
        '@prisma/client/runtime/query_compiler_fast_bg.postgresql.wasm-base64.mjs' as string
      );
      return new (globalThis as any).WebAssembly.Module(Buffer.from(wasm, 'base64'));
    },
    importName: './query_compiler_fast_bg.js',
  },
});

export function prismaClient(url: string): PrismaClient {
  return new Client({ adapter: new PrismaPg({ connectionString: url }) }) as unknown as PrismaClient;
}
