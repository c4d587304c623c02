import { inputError } from "../settings/inputError.ts";

/**
 * Quotes a value for a POSIX shell, so that it arrives as exactly one word, whatever its content.
 *
 * Within single quotes, only the single quote itself is special (POSIX.1-2017, XCU 2.2.2). The npm package
 * `shell-quote` does not work here: it writes `\!` inside double quotes, and dash keeps the backslash.
 *
 * @example shellQuote("it's") // 'it'\''s'
 */
export function shellQuote(value: string): string {
  if (value.includes("\0")) {
    throw inputError("a value for a shell script cannot contain the NUL character");
  }
  return `'${value.replaceAll("'", `'\\''`)}'`;
}
