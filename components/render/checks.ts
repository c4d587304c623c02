/** What names must look like, since accounts, units and files are called after them. */
export const namePatterns = {
  tunnel: /^[a-z][a-z0-9-]{0,23}$/,
  forward: /^[a-z][a-z0-9-]{0,30}$/,
  /** useradd(8): what every system accepts. */
  account: /^[a-z_][a-z0-9_-]{0,31}$/,
  alias: /^[a-z0-9][a-z0-9._-]{0,62}$/,
};

/** The text, which goes into a file of lines. Throws where it would end its line and begin another. */
export function oneLine(text: string): string {
  if (/\p{Cc}/u.test(text)) {
    throw new Error(`${JSON.stringify(text)} must be one line, without control characters`);
  }
  return text;
}

/** The text, which is one of several on a line. Throws where it would be read as more than one, or as a comment. */
export function oneWord(text: string): string {
  if (!/^[^\p{Cc}\s#"']+$/u.test(text)) {
    throw new Error(
      `${JSON.stringify(text)} must be one word, without spaces, quotes, '#' and control characters`,
    );
  }
  return text;
}
