import { inputError } from "../settings/inputError.ts";

/**
 * Quotes a value for a POSIX shell, so that it arrives as exactly one word whatever is in it.
 *
 * In single quotes nothing is special but the single quote itself (POSIX.1-2017, XCU 2.2.2). The npm package
 * `shell-quote` was tried and left: it writes `\!` inside double quotes, which dash passes on with the backslash.
 *
 * @example shellQuote("it's") // 'it'\''s'
 */
export function shellQuote(value: string): string {
  if (value.includes("\0")) {
    throw inputError("a value for a shell script cannot contain the NUL character");
  }
  return `'${value.replaceAll("'", `'\\''`)}'`;
}
