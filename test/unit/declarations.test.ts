/** Exported watchers appear in a project's declarations: these may only use names that the project can import. */
import { join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const program = join(root, 'test/types/exported.ts');

test(
  'exported watchers, watches, clients and hooks need no name that walwatch does not export',
  { timeout: 60_000 },
  () => {
    const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
      config: object;
    };
    const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [program] }, ts.sys, root);
    const made = ts.createProgram([program], { ...options, noEmit: false, declaration: true, emitDeclarationOnly: true, isolatedModules: false }); // prettier-ignore
    let text = '';
    const { diagnostics } = made.emit(made.getSourceFile(program), (_, written) => (text = written), undefined, true);
    expect(ts.formatDiagnostics(diagnostics, ts.createCompilerHost(options))).toBe('');
    expect(text).toContain('export declare const watchers');
    // Another package can import only the entry points.
    const imported = [...text.matchAll(/(?:from |import\()["']([^"']+)["']/g)].map(([, from]) => from!);
    expect(
      imported.filter(
        (from) => from.startsWith('.') || /walwatch\/(?!client$|react$|nats$|sse$|outbox$|testing$)/.test(from),
      ),
    ).toEqual([]);
  },
);
