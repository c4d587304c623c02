import { assertValid, oneLine, oneWord } from "./checks.ts";
import { inputError } from "../settings/inputError.ts";

/** A `Host` entry of ssh_config(5): the patterns and the options, in order. */
export function renderHostEntry(patterns: string[], options: Record<string, string | number>): string {
  return [
    "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
    `Host ${patterns.map(oneWord).join(" ")}`,
    ...Object.entries(options).map(([name, value]) => oneLine(`    ${optionName(name)} ${value}`)),
  ].join("\n");
}

function optionName(name: string): string {
  if (!/^[A-Za-z0-9]+$/.test(name) || /^(host|match|include)$/i.test(name)) {
    throw inputError(`${JSON.stringify(name)} must be the name of an option of ssh_config`);
  }
  return name;
}

/** Lines of known_hosts (sshd(8)) that bind each key to one name, without patterns or markers. */
export function renderKnownHosts(name: string, keys: string[]): string {
  return keys.map((key) => `${assertValid("plain", name)} ${assertValid("publicKey", key)}`).join("\n");
}
