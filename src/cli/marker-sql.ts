import { quoteLiteral } from '../postgres/server.ts';
import { withMarker } from '../setup/marker.ts';

/** What a worker writes into the publication's comment once it has made the slot, as SQL that finds the values itself. */
export function noteMarker(publication: string, slot: string, comment: string | null): string {
  const placeholder = {
    version: 1, slot, systemIdentifier: '', databaseOid: 0, publicationOid: 0, createdLsn: '',
  } as const; // prettier-ignore
  const all = withMarker(comment, placeholder);
  const line = `walwatch: ${JSON.stringify(placeholder)}`;
  const [before, after] = all.split(line).map(quoteLiteral);
  const body = `
BEGIN
  EXECUTE (SELECT format('COMMENT ON PUBLICATION %I IS %L', p.pubname, ${before} || 'walwatch: ' || json_build_object(
      'version', 1, 'slot', s.slot_name, 'systemIdentifier', c.system_identifier::text, 'databaseOid', d.oid::int8,
      'publicationOid', p.oid::int8, 'createdLsn', s.confirmed_flush_lsn::text) || ${after})
    FROM pg_publication p, pg_replication_slots s, pg_control_system() c, pg_database d
    WHERE p.pubname = ${quoteLiteral(publication)} AND s.slot_name = ${quoteLiteral(slot)} AND d.datname = current_database());
END`;
  let quote = '$walwatch$';
  while (body.includes(quote)) quote = `$walwatch${quote.length}$`;
  return `DO ${quote}${body} ${quote};`;
}
