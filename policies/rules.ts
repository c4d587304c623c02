/** The rules that are about a stack's settings. Each finds what breaks it: where it is, what was found, what to do. */
import { withDefaults } from "../components/settings/defaults.ts";
import { listensEverywhere } from "../components/settings/forward.ts";
import { settingsSchema } from "../components/settings/schema.ts";
import { tunnelsOf } from "../components/settings/tunnels.ts";
import type { Tunnel } from "../components/settings/tunnels.ts";

/** The tunnels of these settings, with the word for their keys. Settings that the program refuses have none: it says why. */
export function tunnelsIn(raw: Record<string, unknown>): Tunnel[] {
  const { data } = settingsSchema.safeParse(withDefaults(raw));
  if (!data) return [];
  const ends = Object.keys(data.publicHosts);
  return Object.entries(data.internalHosts).flatMap(([name, host]) =>
    tunnelsOf(name, { ...host, keys: host.keys ?? data.keys }, ends),
  );
}

/** A port that everyone can reach. */
export function openToEveryone(tunnels: Tunnel[]): string[] {
  return tunnels.flatMap(({ name, forwards }) =>
    forwards
      .filter((forward) => listensEverywhere(forward) && forward.sources === undefined)
      .map(
        (forward) =>
          `${name}, forward ${forward.name}: it listens on every address of the public host, for everyone; set sources to the networks that may reach it`,
      ),
  );
}

/** A port outside the range. `auto` is not checked: it stays in the `portRange` of the public host. */
export function outOfRange(tunnels: Tunnel[], first: number, last: number): string[] {
  return tunnels.flatMap(({ name, forwards }) =>
    forwards.flatMap(({ name: forward, remotePort }) =>
      typeof remotePort === "number" && (remotePort < first || remotePort > last)
        ? `${name}, forward ${forward}: the port ${remotePort} is not from ${first} to ${last}; choose one that is`
        : [],
    ),
  );
}

/** A login back that starts from root, or leads to it. */
export function rootLogins(tunnels: Tunnel[]): string[] {
  return tunnels.flatMap(({ name, settings }) =>
    (settings.logins ?? [])
      .filter(({ from, to }) => from === "root" || to === "root")
      .map(
        ({ from, to }) => `${name}, login from ${from} to ${to}: use an account with sudo instead of root`,
      ),
  );
}

/** Keys whose word is a date that is too long ago; in one sentence, those without a date, whose age nobody sees here. */
export function oldKeys(tunnels: Tunnel[], days: number, now: Date): string[] {
  const words = tunnels.flatMap(({ name, settings: { keys, logins = [] } }) => [
    { whose: `the tunnel ${name}`, keys },
    ...logins.map((login) => ({
      whose: `the login from ${login.from} to ${login.to} (${name})`,
      keys: login.keys ?? keys,
    })),
  ]);
  const ages = words.map(({ whose, keys = "" }) => ({ whose, keys, age: daysSince(keys, now) }));
  const undated = ages.filter(({ age }) => age === undefined).map(({ whose }) => whose);
  return [
    ...ages.flatMap(({ whose, keys, age = 0 }) =>
      age > days
        ? [`the key of ${whose} is of ${keys}, ${age} days ago; set keys to today's date to replace it`]
        : [],
    ),
    ...(undated.length > 0
      ? [
          `keys has no date for ${undated.join(", ")}, so the age of the key is not known here; set keys to the date when you replace it`,
        ]
      : []),
  ];
}

/** Since 2026-11-30, 2026-11 or 2026 at the beginning of a word. */
function daysSince(word: string, now: Date): number | undefined {
  const [, year, month = "01", day = "01"] = /^(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?(?!\d)/.exec(word) ?? [];
  const time = Date.parse(`${year}-${month}-${day}T00:00:00Z`);
  return Number.isNaN(time) ? undefined : Math.floor((now.getTime() - time) / 86_400_000);
}
