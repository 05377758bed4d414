import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import type { Product } from './watchers.ts';

/** Serves products from memory until they change in the database. */
export function products(app: FastifyInstance, pool: Pool): void {
  // Promises, so that a change that arrives while a product is being read also discards that read.
  const cache = new Map<number, Promise<Product | undefined>>();
  const forget = ({ id }: { readonly id: number }) => void cache.delete(id);
  app.watch.subscribe('example.products:updated', forget);
  app.watch.subscribe('example.products:deleted', forget);
  // A temporary slot keeps no position: rows that were read before the stream started, or while the connection was lost, may be stale.
  app.watch.on('connected', () => cache.clear());
  const isStreaming = () => app.watch.status().state === 'streaming';

  const read = async (id: number): Promise<Product | undefined> => {
    const { rows } = await pool.query<Product>('select id, name, price from example.products where id = $1', [id]);
    return rows[0];
  };

  const params = { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] } as const;

  app.get<{ Params: { id: number } }>('/products/:id', { schema: { params } }, async ({ params: { id } }, reply) => {
    const cached = isStreaming() ? cache.get(id) : undefined;
    const reading = cached ?? read(id);
    if (!cached) {
      cache.set(id, reading);
      reading.catch(() => cache.delete(id)); // the request reports the error
    }
    const product = await reading;
    return reply
      .code(product ? 200 : 404)
      .header('x-cache', cached ? 'hit' : 'miss')
      .send(product ?? { message: `product ${id} does not exist` });
  });

  // This route does not touch the cache, and neither do other programs that write to the table.
  app.put<{ Params: { id: number }; Body: { price: number } }>(
    '/products/:id',
    { schema: { params, body: { type: 'object', properties: { price: { type: 'number' } }, required: ['price'] } } },
    async ({ params: { id }, body: { price } }, reply) => {
      await pool.query('update example.products set price = $2 where id = $1', [id, price]);
      return reply.code(204).send();
    },
  );
}
