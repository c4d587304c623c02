/** The kinds of hosts, and the key of each in `defaults`. */
const kinds: Record<string, string> = { publicHosts: "publicHost", internalHosts: "internalHost" };

type Settings = Record<string, unknown>;
type Path = (string | number)[];

/**
 * The settings with those of `defaults` in every host that does not set them itself. Lists are replaced as a whole, and
 * `null` stands for a setting that is absent, whatever the defaults have.
 */
export function withDefaults(raw: Settings): Settings {
  const all = raw.defaults === undefined ? {} : { defaults: merge({}, raw.defaults) };
  const hosts = Object.entries(kinds).flatMap(([hosts, kind]) => {
    const named = raw[hosts];
    const defaults = lookUp(all, ["defaults", kind]);
    if (!isMap(named)) return [];
    return [
      [hosts, Object.fromEntries(Object.entries(named).map(([name, host]) => [name, merge(defaults, host)]))],
    ];
  });
  return { ...raw, ...all, ...(Object.fromEntries(hosts) as Settings) };
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
  if (!isMap(own)) return own === undefined ? defaults : own;
  const entries = Object.entries(own).filter(([, value]) => value !== null);
  const isSet = (key: string) => entries.some(([each]) => each === key);
  const replaced = [
    ...(isSet("privateKey") || isSet("privateKeyFile") ? keySettings : []),
    ...(tunnelSettings.some(isSet) ? tunnelSettings.filter((key) => !isSet(key)) : []),
    ...Object.entries(ofThat).flatMap(([key, settings]) => (typeof own[key] === "string" ? settings : [])),
  ];
  const inherited = Object.entries(isMap(defaults) ? defaults : {}).filter(
    ([key]) => own[key] !== null && !replaced.includes(key),
  );
  const merged = Object.fromEntries(inherited);
  return {
    ...merged,
    ...Object.fromEntries(entries.map(([key, value]) => [key, merge(lookUp(merged, [key]), value)])),
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
