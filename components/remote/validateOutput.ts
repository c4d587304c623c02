import { printable } from "./printable.ts";
import { inputError } from "../settings/inputError.ts";

/**
 * A line that a host printed as the result of a script, and that is used in files of the other host. A compromised host
 * can print anything, so unexpected output ends the run.
 *
 * @param fits whether it is as expected
 * @param what what was expected, in words
 */
export function validateOutput(host: string, line: string, fits: boolean, what: string): string {
  if (!fits) {
    throw inputError(
      `${host} answered '${printable(line, 200)}' instead of ${what}; if that comes from the admin's login shell, stop its start-up files from printing anything; then change the revision, so that the host is checked again, and run 'pulumi up'`,
    );
  }
  return line;
}

/**
 * The last line of a script's output that begins with the prefix. A greeting of the admin's login shell may come before our
 * output. If it is on our line, that line is what is refused; without any, the last one.
 */
export function printedLine(text: string, start: string): string {
  const lines = text.split("\n");
  return (
    lines.findLast((line) => line.startsWith(start)) ??
    lines.findLast((line) => line.includes(start)) ??
    lines.at(-1) ??
    ""
  );
}
