/** A picture with a title, as text of SVG. */
export function svg(
  width: number,
  height: number,
  title: string,
  subtitle: string,
  parts: readonly string[],
): string {
  const style =
    'text{font:12px sans-serif;fill:#333}.title{font-size:16px}.note,.small{font-size:11px;fill:#666}';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${style}</style><rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="16" y="26" class="title">${escaped(title)}</text>`,
    `<text x="${width - 16}" y="26" text-anchor="end" class="small">${escaped(subtitle)}</text>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

/** Attributes of an element. */
export function attributeText(attributes: Readonly<Record<string, string | number>>): string {
  return Object.entries(attributes)
    .map(([name, value]) => ` ${name}="${escaped(String(value))}"`)
    .join('');
}

/** Text that has no meaning to SVG. */
export function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
