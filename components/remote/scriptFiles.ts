import { readFileSync, readdirSync } from "node:fs";
import { basename } from "node:path";

const components = new URL("../", import.meta.url);

const read = (path: string) => readFileSync(new URL(path, components), "utf8");

/** Shell scripts in this folder of `components` and below it: their paths by their names. */
function scriptsIn(folder: string): Map<string, string> {
  const files = readdirSync(new URL(folder, components), { recursive: true, encoding: "utf8" });
  const scripts = files.filter((file) => file.endsWith(".sh"));
  return new Map(scripts.map((file) => [basename(file, ".sh"), `${folder}${file}`]));
}

const library = scriptsIn("shell/lib/");
const drift = scriptsIn("shell/drift/");
const parts = scriptsIn("parts/");
const programs = scriptsIn("shell/programs/");

/** What all scripts have in common, `shell/lib/<name>.sh`, in the order in which it is read. */
export const libraryNames = [
  "messages",
  "connection",
  "lib",
  "printable",
  "sshd",
  "record",
  "files",
  "lines",
  "sshFolder",
  "accounts",
  "units",
  "status",
  "trial",
  "session",
  "strangers",
  "sshdLists",
  "sockets",
  "sshdAccess",
  "loginAccess",
  "forwards",
  "ports",
  "selinux",
  "firewalls",
  "firewalld",
  "ufw",
  "nftables",
] as const;

/** What looks for drift, `shell/drift/<name>.sh`: only hosts on which somebody looks have it. */
export const driftNames = ["present", "look"] as const;

/** Part and program that only hosts with `notify` have. */
export const notifyName = "notify";

/** The parts: `parts/<name>/<name>.sh` of each defines `apply`. */
export const partNames = [...parts.keys()].sort();

/** The programs for the hosts, and what several of them need, `shell/programs/<name>.sh`. */
export const programNames = [...programs.keys()].sort();

/** What reads a part and the library from the host's tools. */
export const loaderText = () => read("shell/loader.sh");

/** The text of a part, or of a file of the library; no two have the same name. Of another script, its path: a test has some. */
export function readScript(name: string): string {
  return read(library.get(name) ?? drift.get(name) ?? parts.get(name) ?? `${name}.sh`);
}

/** A program as it goes to the hosts. */
export const readProgram = (name: string) => withoutComments(programSource(name)).trimEnd();

/** A program with its comments, and with what its line "# needs: …" names in that place. */
export function programSource(name: string): string {
  const own = (file: string) => {
    const path = programs.get(file);
    return path === undefined ? readScript(file) : read(path);
  };
  return own(name).replace(/^# needs: (.*)\n/m, (_, needed: string) => needed.split(" ").map(own).join("\n"));
}

/** Those that travel whole call what they do themselves. */
export const isWhole = (script: string) => /^[a-z_]+ "\$@"$/m.test(readScript(script));

/** The library: all of it, but for the scripts that come before the tools, which name what they need. */
export function libraryOf(script: string): string[] {
  const needs = /^# needs: (.*)$/m.exec(readScript(script))?.[1]?.split(" ");
  return libraryNames.filter((name) => needs?.includes(name) ?? true);
}

/** The state holds each text that travels, and the engine writes it again at each step: a third of a script is comments. */
export function withoutComments(script: string): string {
  return script.replaceAll(/^[ \t]*#(?!!).*\n/gm, "");
}
