/** The kinds of hosts, and the key of each in `defaults`. */
const kinds: Record<string, string> = { publicHosts: "publicHost", internalHosts: "internalHost" };

type Settings = Record<string, unknown>;
type Path = (string | number)[];

/** The settings with those of `defaults` in every host that does not set them itself. Lists are replaced as a whole. */
export function withDefaults(raw: Settings): Settings {
  const hosts = Object.entries(kinds).flatMap(([hosts, kind]) => {
    const all = raw[hosts];
    const defaults = lookUp(raw, ["defaults", kind]);
    if (!isMap(all) || !isMap(defaults)) return [];
    return [
      [hosts, Object.fromEntries(Object.entries(all).map(([name, host]) => [name, merge(defaults, host)]))],
    ];
  });
  return { ...raw, ...(Object.fromEntries(hosts) as Settings) };
}

/** Where a value of the merged settings stands. */
export function placeOf(path: Path, raw: Settings): Path {
  const [hosts = "", , ...rest] = path;
  const kind = Object.hasOwn(kinds, hosts) ? kinds[hosts] : undefined;
  const place = ["defaults", kind ?? "", ...rest];
  return rest.length > 0 && lookUp(raw, path) === undefined && lookUp(raw, place) !== undefined
    ? place
    : path;
}

/** A private key of a host's own replaces the default one, in whichever of these ways it is given. */
const keySettings = ["privateKey", "privateKeyFile", "passphrase"];

/** Which tunnels a host has is said in one of these ways. */
const tunnelSettings = ["publicHost", "publicHosts", "tunnels"];

/** What is for one proxy or one machine is not for another one: it would get the password. */
const ofThat = { url: ["user", "password"], address: ["password", "hostKey"] };

function merge(defaults: unknown, own: unknown): unknown {
  if (!isMap(defaults) || !isMap(own)) return own === undefined ? defaults : own;
  const hasKey = "privateKey" in own || "privateKeyFile" in own;
  const hasTunnels = tunnelSettings.some((key) => key in own);
  const replaced = [
    ...(hasKey ? keySettings : []),
    ...(hasTunnels ? tunnelSettings.filter((key) => !(key in own)) : []),
    ...Object.entries(ofThat).flatMap(([key, settings]) => (typeof own[key] === "string" ? settings : [])),
  ];
  const inherited = Object.entries(defaults).filter(([key]) => !replaced.includes(key));
  const merged = Object.fromEntries(inherited);
  return {
    ...merged,
    ...Object.fromEntries(
      Object.entries(own).map(([key, value]) => [key, merge(lookUp(merged, [key]), value)]),
    ),
  };
}

/** Only what the settings have themselves: every object has a "constructor". */
function lookUp(settings: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null && Object.hasOwn(value, key)
        ? (value as Record<string | number, unknown>)[key]
        : undefined,
    settings,
  );
}

/** Whether a value is an object of settings, and not a list. */
export function isMap(value: unknown): value is Settings {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
