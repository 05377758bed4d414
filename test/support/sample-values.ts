/** Types and sample values, for the tests that compare events with `select`. */

/** A type, and SQL expressions that can be cast to it. */
export type Samples = readonly (readonly [type: string, ...expressions: string[]])[];

/** Types for the samples, to be created before their tables. */
export const sampleTypes = `
  create type mood as enum ('sad', 'ok', 'so, "so"', 'ü \\ 😀', 'NULL', '');
  create domain positive as int4 check (value > 0);
  create domain small_positive as positive check (value < 1000);
  create domain mood_domain as mood;
  create domain numbers as int4[];
  create domain big as int8;
  create domain amount as numeric(12, 2);
  create domain label as varchar(20) collate "C";
  create domain flag as bool;
  create domain instant as timestamptz;
  create domain day as date;
  create domain span as interval;
  create domain document as jsonb;
  create domain bytes as bytea;
  create domain place as point;
  create domain instants as timestamptz[];
  create domain instants_domain as instants;
  create type pair as (a int4, "B b" text);
  create type nested as (pair pair, pairs pair[], d small_positive, m mood, at timestamptz, bytes bytea);
  create domain pair_domain as pair check ((value).a > 0);
  create domain pairs as pair[];
  create type float_range as range (subtype = float8, subtype_diff = float8mi, multirange_type_name = float_multirange);
  create type text_range as range (subtype = text, collation = "C");
  create domain int_range_domain as int4range check (not isempty(value));
`;

const text = (...values: string[]) => values.map((value) => `'${value.replaceAll("'", "''")}'`);

/** Texts with quotes, syntax-like content, control characters, and all planes of Unicode. */
const texts = text(
  '', ' ', 'plain', `it's "quoted" \\ and {braced}, (too)`, 'NULL', '\t\r\n\u0001\u007f', '\ufeffbyte order mark',
  'äöü ∀ 漢字 \u0301 \ufffd \uffff', '😀👩‍👩‍👧𝒳\u{10ffff}', 'x'.repeat(10_000),
); // prettier-ignore

export const sampleValues: Readonly<Record<string, Samples>> = {
  numbers: [
    ['int2', ...text('0', '-32768', '32767')],
    ['int4', ...text('0', '-2147483648', '2147483647')],
    ['int8', ...text('0', '-9223372036854775808', '9223372036854775807', '9007199254740993')],
    ['float4', ...text('0', '-0', 'NaN', 'Infinity', '-Infinity', '1e-45', '3.4028235e38', '0.1')],
    ['float8', ...text('0', '-0', 'NaN', 'Infinity', '-Infinity', '5e-324', '1.7976931348623157e308'), '0.1 + 0.2'],
    [
      'numeric',
      ...text('0', 'NaN', 'Infinity', '-Infinity', '0.1', '1.10', '-1e-20', '9'.repeat(1000)),
      `repeat('7', 1000) || '.' || repeat('3', 1000)`,
      `repeat('8', 131072) || '.' || repeat('1', 16383)`,
    ],
    ['numeric(1000, 500)', `repeat('7', 500) || '.' || repeat('3', 500)`],
    ['money', ...text('0', '-92233720368547758.08', '92233720368547758.07', '1234.5')],
    ['bool', ...text('t', 'f')],
  ],
  texts: [
    ['text', ...texts],
    ['varchar', ...texts],
    ['varchar(3)', ...text('', 'abc', '😀😀😀')],
    ['bpchar', ...text('', 'a  ', 'ä')],
    ['char(5)', ...text('', 'a', '😀')],
    ['"char"', ...text('', 'a', '\\')],
    ['name', ...text('', 'a "name"', 'x'.repeat(63))],
    ['bytea', ...text('', '\\x00ff', '\\x5c27', '\\xdeadbeef'), `decode(repeat('00ff5c', 5000), 'hex')`],
    ['bit', `B'0'`, `B'1'`],
    ['bit(12)', `B'000011110000'`],
    ['varbit', `B''`, `B'1'`, `repeat('10', 500)`],
    ['uuid', ...text('00000000-0000-0000-0000-000000000000', 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF')],
    ['json', ...text('null', '{"a": 1,   "a": 2}', '[1e400, "\\u0001", "😀"]', '""', '{"__proto__": {"x": 1}}', '1')],
    ['jsonb', ...text('null', '{"b": [1, {"c": null}], "a": "\\"😀"}', '12345678901234567890.5', 'true', '[]')],
    ['jsonpath', ...text('$', '$.a[*] ? (@.b > 1)')],
    ['tsvector', ...text('', `a fat cat`, `'it''s':1A,2 'ü':3B`), `to_tsvector('english', 'The fat rats')`],
    ['tsquery', ...text('', `'fat' & !'rat':AB | 'c':*`, 'a <2> b')],
  ],
  times: [
    ['date', ...text('2026-02-28', '0001-01-01', '0044-03-15 BC', '4713-01-01 BC', '5874897-12-31', 'infinity', '-infinity')],
    ['time', ...text('00:00', '24:00', '23:59:59.999999', '12:00:00.1')],
    ['time(0)', ...text('23:59:59.4')],
    ['timetz', ...text('00:00+00', '24:00:00-15:59', '12:34:56.000001+05:30')],
    ['timestamp', ...text('2026-02-28 12:00', '1999-12-31 23:59:59.999999', '0044-03-15 12:00 BC', '294276-12-31 23:59:59.999999', '4713-01-01 BC', 'infinity', '-infinity')],
    ['timestamp(3)', ...text('2026-02-28 12:00:00.1239')],
    ['timestamptz', ...text('2026-02-28 12:00+05:30', '2026-03-29 02:30 Europe/Berlin', '1883-11-18 12:00 America/New_York', '0044-03-15 12:00+00 BC', '294276-12-31 23:59:59.999999+00', 'infinity', '-infinity', '2026-01-01 00:00:00.000001+00')],
    ['interval', ...text('0', '1 year -2 mons +3 days -04:05:06.000007', '178000000 years', '-00:00:00.000001', '1000 hours', '-1 day +23:59:59.999999')],
    ['interval hour to minute', ...text('26:30')],
  ], // prettier-ignore
  'networks and shapes': [
    ['inet', ...text('0.0.0.0/0', '192.168.0.1', '192.168.0.1/24', '::1', 'fe80::1/64', '::ffff:1.2.3.4')],
    ['cidr', ...text('10.0.0.0/8', '2001:db8::/32', '10.1.2.3/32')],
    ['macaddr', ...text('08:00:2b:01:02:03')],
    ['macaddr8', ...text('08:00:2b:01:02:03:04:05')],
    ['point', ...text('(0,0)', '(-1.5,1e300)', '(Infinity,NaN)')],
    ['line', ...text('{1,-1,0}')],
    ['lseg', ...text('[(0,0),(1,1)]')],
    ['box', ...text('(1,1),(0,0)')],
    ['path', ...text('[(0,0),(1,1)]', '((0,0),(1,1),(2,0))')],
    ['polygon', ...text('((0,0),(1,1),(2,0))')],
    ['circle', ...text('<(0.5,-1),2>', '<(0,0),0>')],
  ],
  'identifiers of the server': [
    ['oid', ...text('0', '4294967295')],
    ['xid', ...text('0', '4294967295')],
    ['xid8', ...text('0', '18446744073709551615')],
    ['cid', ...text('0', '4294967295')],
    ['tid', ...text('(0,1)', '(4294967295,65535)')],
    ['pg_lsn', ...text('0/0', 'FFFFFFFF/FFFFFFFF')],
    ['pg_snapshot', ...text('10:20:10,14,15')],
    ['txid_snapshot', ...text('10:20:10,14,15')],
    ['regclass', ...text('users', 'pg_class', 'information_schema.tables', 'samples."Odd ""Table"', '-', '4294967295')],
    ['regtype', ...text('int4', 'mood', 'mood[]', 'information_schema.sql_identifier', '-')],
    ['regproc', ...text('now', '-')],
    ['regprocedure', ...text('lower(text)', '-')],
    ['regoper', ...text('pg_catalog.||/', '0')],
    ['regoperator', ...text('+(int4,int4)', '0')],
    ['regrole', 'current_user', ...text('pg_monitor', '-')],
    ['regnamespace', ...text('public', 'samples', '-')],
    ['regcollation', ...text('"C"', '"POSIX"', '-')],
    ['regconfig', ...text('english')],
    ['regdictionary', ...text('simple')],
    ['refcursor', ...text('', 'a cursor')],
    ['aclitem', `makeaclitem(10, 10, 'SELECT', true)`],
    ['int2vector', ...text('', '1 2 3')],
    ['oidvector', ...text('', '1 2 3')],
  ],
  ranges: [
    ['int4range', ...text('empty', '[1,5)', '(,)', '[,5]', '(1,)')],
    ['int8range', ...text('empty', '[9007199254740993,9223372036854775807)', '(,)')],
    ['numrange', ...text('empty', '(0.10,1.5]', '[NaN,NaN]', '(,Infinity)')],
    ['daterange', ...text('[2026-01-01,2026-02-01)', '[-infinity,infinity)', '[0044-03-15 BC,)')],
    ['tsrange', ...text('[2026-01-01 00:00:00.000001,infinity]', '(,)')],
    ['tstzrange', ...text('[2026-01-01 00:00+02,2026-01-01 00:00:00.5+00)', 'empty')],
    ['float_range', ...text('[0.1,NaN]')],
    ['text_range', ...text('["a","b, )\\\\"""]', '[,😀)', '["",]')],
    ['int_range_domain', ...text('[1,3)')],
    ['int4multirange', ...text('{}', '{[1,2),[5,9)}', '{(,)}')],
    ['int8multirange', ...text('{[1,9223372036854775807)}')],
    ['nummultirange', ...text('{(0.1,0.2],[3,)}')],
    ['datemultirange', ...text('{[2026-01-01,2026-02-01),[2027-01-01,)}')],
    ['tsmultirange', ...text('{[2026-01-01,2026-02-01)}')],
    ['tstzmultirange', ...text('{["2026-01-01 00:00+02",infinity)}')],
    ['float_multirange', ...text('{[0.1,0.2)}')],
  ],
  enums: [['mood', ...text('sad', 'ok', 'so, "so"', 'ü \\ 😀', 'NULL', '')]],
  domains: [
    ['positive', '7'],
    ['small_positive', '8'],
    ['mood_domain', ...text('sad', 'ü \\ 😀')],
    ['numbers', ...text('{}', '{1,NULL,3}', '[5:6]={5,6}', '{{1,2},{3,4}}')],
    ['big', ...text('9223372036854775807')],
    ['amount', ...text('-0.01', 'NaN')],
    ['label', ...text('', '😀')],
    ['flag', 'true', 'false'],
    ['instant', ...text('2026-01-01 00:00:00.000001+00', 'infinity')],
    ['day', ...text('0044-03-15 BC')],
    ['span', ...text('1 mon -1 day')],
    ['document', ...text('{"a": [null]}', 'null')],
    ['bytes', ...text('\\x00ff')],
    ['place', ...text('(1,2)')],
    ['instants', ...text('{infinity,"2026-01-01 00:00+00",NULL}')],
    ['instants_domain', ...text('{{"2026-01-01 00:00+00"}}')],
    ['information_schema.sql_identifier', ...text('a name')],
    ['information_schema.cardinal_number', '3'],
  ],
  composites: [
    ['pair', 'row(1, null)', `row(null, '')`, `row(2, 'a "b", (c) \\ 😀')`, 'row(null, null)'],
    [
      'nested',
      `row(row(1, 'x, "y"'), array[row(2, null), null]::pair[], 5, 'so, "so"', '2026-01-01 00:00+00', '\\x00ff')`,
      'row(null, null, null, null, null, null)',
    ],
    ['pair_domain', `row(3, 'd')`],
    ['pairs', `array[row(1, '"'), row(null, null)]`, `'{}'`],
  ],
  arrays: [
    ['int4[]', ...text('{}', '{NULL}', '{1,NULL,3}', '{{1,2},{3,4}}', '{{{1}},{{2}}}', '[0:1]={1,2}', '[-1:0][2:3]={{1,2},{3,4}}')],
    ['text[]', ...text('{}', '{"",NULL,"NULL",null,"a,b","{c}","d\\"e\\\\f"," 😀 "}', '{{a,b},{"",NULL}}', '[2:2]={x}')],
    ['mood[]', ...text('{}', '{sad,NULL,"NULL","so, \\"so\\""}', '{{sad},{ok}}', '[0:0]={sad}')],
    ['small_positive[]', ...text('{1,NULL,999}', '{{1,2}}')],
    ['numbers[]', `array['{1,2}'::numbers, null]`],
    ['pair[]', `array[row(1, 'a,"b"'), null, row(null, null)]`, ...text('[3:3]={"(1,x)"}')],
    ['int4range[]', ...text('{"[1,2)",NULL,empty}')],
    ['int4multirange[]', ...text('{"{[1,2),[3,4)}",NULL}')],
    ['box[]', ...text('{(1,1),(0,0);(2,2),(1,1)}')],
    ['jsonb[]', `array['{"a": "b,\\"c\\""}', 'null', null]`],
    ['timestamptz[]', ...text('{{infinity,NULL},{"2026-01-01 00:00:00.000001+00",-infinity}}')],
    ['bytea[]', `array['\\x00ff', '', null]`],
    ['float8[]', ...text('{NaN,-Infinity,0.30000000000000004,-0,NULL}')],
    ['int8[]', ...text('{9223372036854775807,NULL}')],
  ], // prettier-ignore
};

/** Types that a server may have been built or installed without. */
export const optionalValues: Readonly<Record<'xml' | 'hstore' | 'citext' | 'ltree', Samples>> = {
  xml: [
    ['xml', ...text('<a b="c">&amp;😀</a>', 'text', '<?xml version="1.0" encoding="UTF-8"?><a/>', '')],
    ['xml[]', `array['<a/>', null]`],
  ],
  hstore: [
    ['hstore', ...text('', 'a=>1, "b c"=>NULL, "d\\"e\\\\"=>"", 😀=>"NULL"')],
    ['hstore[]', `array['a=>1', null]`],
  ],
  citext: [
    ['citext', ...text('', 'MiXed', 'ÄÖ😀')],
    ['citext[]', ...text('{A,a,NULL}')],
  ],
  ltree: [['ltree', ...text('', 'Top.Science')]],
};

/** Types of pg_catalog without a value that can be written, or without columns. */
export const unwritable = [
  'pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary',
  'gtsvector',
]; // prettier-ignore
