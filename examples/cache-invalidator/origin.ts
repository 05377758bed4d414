import fastify, { type FastifyInstance } from 'fastify';
import type { Pool } from 'pg';

/** The application: it serves pages from the database and does not know about the cache in front of it. */
export function origin(pool: Pool): FastifyInstance {
  const app = fastify();
  const integer = (name: string) => ({
    schema: { params: { type: 'object', properties: { [name]: { type: 'integer' } } } },
  });
  app.get<{ Params: { id: number } }>('/articles/:id', integer('id'), async ({ params: { id } }, reply) => {
    const { rows } = await pool.query<object>('select id, title from example.articles where id = $1', [id]);
    return rows[0] ?? reply.code(404).send({ message: `article ${id} does not exist` });
  });
  app.get<{ Params: { author: number } }>('/authors/:author/articles', integer('author'), async ({ params }) => {
    const { rows } = await pool.query<object>(
      'select id, title from example.articles where author_id = $1 order by id',
      [params.author],
    );
    return rows;
  });
  return app;
}
