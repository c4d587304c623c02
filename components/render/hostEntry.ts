import { oneLine, oneWord } from "./checks.ts";

/** A `Host` entry of ssh_config(5): the patterns, and the options in their order. */
export function renderHostEntry(patterns: string[], options: Record<string, string | number>): string {
  return [
    "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
    `Host ${patterns.map(oneWord).join(" ")}`,
    ...Object.entries(options).map(([name, value]) => oneLine(`    ${name} ${value}`)),
  ].join("\n");
}

/** Lines of known_hosts (sshd(8)) that bind each key to one name. */
export function renderKnownHosts(name: string, keys: string[]): string {
  return keys.map((key) => oneLine(`${oneWord(name)} ${key}`)).join("\n");
}
