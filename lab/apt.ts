import { readFile, readdir } from "node:fs/promises";
import { exec } from "./exec.ts";

/**
 * This machine's own Debian mirrors, as source lines for another release of Debian; "" if it has none (it is not a
 * Debian), and mmdebstrap then chooses. sid is the only release without separate updates.
 */
export async function aptSources(release: string): Promise<string> {
  const os = await readFile("/etc/os-release", "utf8").catch(() => "");
  const codename = /^VERSION_CODENAME=(\w+)/m.exec(os)?.[1];
  if (!/^ID=debian$/m.test(os) || !codename) return "";
  const found: string[] = [];
  for (const file of await sourceFiles()) {
    const text = await readFile(file, "utf8");
    const entries = file.endsWith(".list") ? oneLineEntries(text) : deb822Entries(text);
    for (const { uri, suite, components } of entries) {
      const pocket = suite.slice(codename.length);
      // Third-party repositories have suites or components with other names.
      const pockets = release === "sid" ? [""] : ["", "-updates", "-security"];
      const debians = suite.startsWith(codename) && pockets.includes(pocket);
      if (debians && components.includes("main") && /^https?:/.test(uri)) {
        found.push(`deb ${uri} ${release}${pocket} main`);
      }
    }
  }
  const usable = found.some((line) => line.endsWith(` ${release} main`));
  return usable ? [...new Set(found)].join("\n") + "\n" : "";
}

/**
 * How this machine's apt reaches its mirrors (through a proxy, for example), which mmdebstrap does not look up itself.
 */
export async function aptOptions(): Promise<string[]> {
  const dump = await exec("apt-config", ["dump"], { allowFailure: true });
  return dump.stdout
    .split("\n")
    .filter((line) => /^Acquire::(https?|Check|Retries|ForceIPv).* ".+";$/.test(line));
}

interface Entry {
  uri: string;
  suite: string;
  components: string[];
}

async function sourceFiles(): Promise<string[]> {
  const folder = "/etc/apt/sources.list.d";
  const names = await readdir(folder).catch(() => []);
  const files = names.filter((name) => /\.(list|sources)$/.test(name)).map((name) => `${folder}/${name}`);
  const main = "/etc/apt/sources.list";
  return (await readFile(main).catch(() => undefined)) ? [main, ...files] : files;
}

function oneLineEntries(text: string): Entry[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)$/.exec(line.replace(/#.*/, ""));
    const [, uri, suite, rest] = match ?? [];
    return uri && suite && rest ? [{ uri, suite, components: rest.trim().split(/\s+/) }] : [];
  });
}

function deb822Entries(text: string): Entry[] {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const field = (name: string) => {
      const value = new RegExp(`^${name}:[ \\t]*(.*)$`, "im").exec(stanza)?.[1] ?? "";
      return value.split(/\s+/).filter(Boolean);
    };
    if (!field("Types").includes("deb") || field("Enabled")[0] === "no") return [];
    const components = field("Components");
    return field("URIs").flatMap((uri) => field("Suites").map((suite) => ({ uri, suite, components })));
  });
}
