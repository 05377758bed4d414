import { Inject, Injectable } from '@nestjs/common';
import { Pool } from 'pg';
import type { EventContext } from 'walwatch';
import { onChangeOf } from './watch/on-change.ts';
import type { watchers } from './watchers.ts';

const OnChange = onChangeOf<typeof watchers>();

/** An ordinary service. Its methods are called for changes, no matter which program makes them. */
@Injectable()
export class OrdersService {
  readonly #pool: Pool;

  constructor(@Inject(Pool) pool: Pool) {
    this.#pool = pool;
  }

  @OnChange('example.orders:inserted', { concurrency: 4 })
  async confirm({ id }: { readonly id: number }): Promise<void> {
    const { rows } = await this.#pool.query<{ customer: string }>('select customer from example.orders where id = $1', [
      id,
    ]);
    console.log('confirm', id, rows[0]?.customer ?? '(already deleted)');
  }

  @OnChange('example.orders:updated', { filter: { status: 'paid' }, onError: { attempts: 5, then: 'deadLetter' } })
  ship({ id }: { readonly id: number }, { eventId }: EventContext): void {
    console.log('ship', id, eventId);
  }
}
