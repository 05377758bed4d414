/** The table's name as in watchers: without the schema public. */
export function tableName({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return schema === 'public' ? name : `${schema}.${name}`;
}
