import { quoteLiteral } from '../postgres/server.ts';
import { withMarker } from '../setup/marker.ts';

/** SQL that writes the marker into the publication's comment, as a worker does after it created the slot. The SQL reads the values itself. */
export function noteMarker(publication: string, slot: string, comment: string | null): string {
  const placeholder = {
    version: 1, slot, systemIdentifier: '', databaseOid: 0, publicationOid: 0, createdLsn: '',
  } as const; // prettier-ignore
  const all = withMarker(comment, placeholder);
  const line = `walwatch: ${JSON.stringify(placeholder)}`;
  const [before, after] = all.split(line).map(quoteLiteral);
  const body = `
BEGIN
  EXECUTE (SELECT pg_catalog.format('COMMENT ON PUBLICATION %I IS %L', p.pubname, pg_catalog.concat(${before}, 'walwatch: ', pg_catalog.json_build_object(
      'version', 1, 'slot', s.slot_name, 'systemIdentifier', c.system_identifier::pg_catalog.text, 'databaseOid', d.oid::pg_catalog.int8,
      'publicationOid', p.oid::pg_catalog.int8, 'createdLsn', s.confirmed_flush_lsn::pg_catalog.text), ${after}))
    FROM pg_catalog.pg_publication p, pg_catalog.pg_replication_slots s, pg_catalog.pg_control_system() c, pg_catalog.pg_database d
    WHERE p.pubname OPERATOR(pg_catalog.=) ${quoteLiteral(publication)} AND s.slot_name OPERATOR(pg_catalog.=) ${quoteLiteral(slot)}
      AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database());
END`;
  let quote = '$walwatch$';
  while (body.includes(quote)) quote = `$walwatch${quote.length}$`;
  return `DO ${quote}${body} ${quote};`;
}
