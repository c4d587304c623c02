/**
 * A text that somebody else has chosen, on its way to a terminal or a log: one line, short, and nothing in it that either
 * takes for more than a text. Control characters (ESC, CR, the C1 ones), marks that turn the direction of writing, and
 * halves of characters are shown as what they are. GitHub takes a line that begins with "::" or has "##[" in it for a
 * command to its runner.
 */
export function printable(text: string, most = 255): string {
  const odd = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
  const shown = text
    .slice(0, most)
    .replaceAll(odd, (each) => `\\u${each.codePointAt(0)!.toString(16).padStart(4, "0")}`)
    .replace(/^(?=\s*::)/u, "'")
    .replaceAll("##[", "# #[");
  return text.length > most ? `${shown}…` : shown;
}
