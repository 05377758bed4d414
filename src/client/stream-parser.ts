/** Parses an event stream as the HTML standard defines it. Lines end with LF, as our server sends them, or with CR LF. */
export function streamParser(
  message: (type: string, data: string, id: string) => void,
  retry: (milliseconds: number) => void,
): (text: string) => void {
  let rest = '';
  let id = '';
  let type = '';
  let data: string[] = [];

  function take(line: string): void {
    if (line === '') {
      if (data.length > 0) message(type || 'message', data.join('\n'), id);
      type = '';
      data = [];
      return;
    }
    const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!;
    if (field === 'data') data.push(value);
    else if (field === 'event') type = value;
    else if (field === 'id') id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) retry(Number(value));
  }

  return (text) => {
    const lines = text.split('\n');
    lines[0] = rest + lines[0]!;
    rest = lines.pop()!;
    for (const line of lines) take(line.endsWith('\r') ? line.slice(0, -1) : line);
  };
}
