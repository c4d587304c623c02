/**
 * Makes text from elsewhere safe for a terminal or a log: one short line, without anything that either would interpret.
 * Control characters (ESC, CR, C1), characters that change the writing direction, and halves of surrogate pairs are
 * escaped. GitHub interprets a line that begins with "::" or contains "##[" as a command to its runner.
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
