/** Draws ```mermaid blocks while the site is built. The colours are variables of style.css, so they follow the dark mode. */
import { renderMermaidSVG } from 'beautiful-mermaid';
import type { MarkdownRenderer } from 'vitepress';

export function useMermaid(md: MarkdownRenderer): void {
  const { fence } = md.renderer.rules;
  md.renderer.rules.fence = (tokens, index, ...rest) => {
    const { info, content } = tokens[index]!;
    if (info.trim() !== 'mermaid') return fence!(tokens, index, ...rest);
    // Its own style loads fonts from another site.
    const svg = renderMermaidSVG(content, {
      bg: 'var(--vp-c-bg)',
      fg: 'var(--vp-c-text-1)',
      transparent: true,
    }).replace(/<style>[^]*?<\/style>/, '');
    return `<div class="mermaid" v-pre>${svg}</div>\n`;
  };
}
