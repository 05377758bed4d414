/**
 * Links of the pages are relative paths, as GitHub wants them. In the site, a link to another page leads to that page.
 * A link to any other file becomes its text and path, because no address of the repository is known.
 */
import { existsSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import type { MarkdownRenderer } from 'vitepress';

type Token = ReturnType<MarkdownRenderer['parse']>[number];

export function useRelativeLinks(
  md: MarkdownRenderer,
  root: string,
  /** The address of a file that is a page. */
  addressOf: (file: string) => string | undefined,
): void {
  md.core.ruler.push('relative_links', ({ tokens, env, Token: TokenType }) => {
    const page: string = env.realPath ?? env.path;
    for (const token of tokens) if (token.children) token.children = convert(token.children, page);

    function convert(children: Token[], page: string): Token[] {
      let path: string | undefined;
      let start = 0;
      const converted: Token[] = [];
      for (const token of children) {
        if (token.type === 'link_open') {
          path = undefined;
          const href = token.attrGet('href') ?? '';
          if (/^([a-z][a-z\d+.-]*:|#|\/)/i.test(href)) {
            converted.push(token);
            continue;
          }
          const [, target = '', hash = ''] = /^([^#]*)(#.*)?$/.exec(href) ?? [];
          const file = resolve(dirname(page), decodeURI(target));
          if (!existsSync(file)) throw new Error(`${relative(root, page)}: ${href} does not exist`);
          const address = addressOf(relative(root, file)) ?? addressOf(join(relative(root, file), 'README.md'));
          if (address !== undefined) {
            token.attrSet('href', `/${address}${hash}`);
            converted.push(token);
          } else {
            path = relative(root, file);
            start = converted.length;
          }
        } else if (token.type === 'link_close' && path !== undefined) {
          const text = converted.slice(start).map(({ content }) => content);
          if (!text.some((part) => part.length > 0 && path!.endsWith(part.replace(/\/$/, '')))) {
            converted.push(textToken(' ('), codeToken(path), textToken(')'));
          }
          path = undefined;
        } else converted.push(token);
      }
      return converted;
    }

    function textToken(content: string): Token {
      return Object.assign(new TokenType('text', '', 0), { content });
    }

    function codeToken(content: string): Token {
      return Object.assign(new TokenType('code_inline', 'code', 0), { content });
    }
  });
}
