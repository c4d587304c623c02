import { spawn } from "node:child_process";
import { relative } from "node:path";
import { parseArgs } from "node:util";
import type { Host } from "./host.ts";
import { cleanImages } from "./image.ts";
import { Lab } from "./lab.ts";
import type { HostChoice } from "./prepare.ts";
import { SUITES } from "./root.ts";

const HELP = `Real hosts on this machine, for the tests and the demo. Needs Linux and root.

npm run lab -- COMMAND [--name LAB]

  up [HOST[:KIND]…]    boot the hosts, by default gate and nas; KIND is bookworm (the default), trixie or sid, or
                       guest: bookworm with a kernel of its own, which enforces SELinux, in QEMU
  status               show the hosts
  ssh HOST [COMMAND…]  log in over the network
  run HOST COMMAND…    run a command as root without the network
  cut HOST             lose every packet from and to the host, silently
  restore HOST         end that
  power-cut HOST       pull the plug
  boot HOST            switch it on again
  reboot HOST          restart it in order
  changes HOST         what differs on its disk since its first boot
  down                 end the lab and leave nothing of it
  clean                delete the cached Debian images

The lab's name is "default" unless --name says otherwise.
`;

async function main(argv: string[]): Promise<number> {
  const { own, rest } = split(argv);
  const { values, positionals } = parseArgs({
    args: own,
    options: { name: { type: "string", default: "default" }, help: { type: "boolean", short: "h" } },
    allowPositionals: true,
  });
  const [command, ...words] = positionals;
  if (values.help || !command) {
    console.log(HELP);
    return command || values.help ? 0 : 2;
  }
  if (command === "up") return up(values.name, words.length > 0 ? words : ["gate", "nas"]);
  if (command === "down") return atEnd(Lab.clear(values.name), `The lab "${values.name}" is down.`);
  if (command === "clean")
    return atEnd(cleanImages(), "The images are gone: the next up builds what it needs.");
  if (command === "status") return status(await Lab.open(values.name));
  const action = ACTIONS[command];
  if (!action) throw new Error(`There is no command "${command}": see npm run lab -- --help`);
  const [name, ...extra] = words;
  const lab = await Lab.open(values.name);
  if (!name) throw new Error(`Say which host: ${lab.hostNames.join(", ")}.`);
  if (extra.length > 0)
    throw new Error(`"${command}" takes one host, and does not know "${extra.join(" ")}".`);
  return action(lab.host(name), lab, rest);
}

const ACTIONS: Record<string, (host: Host, lab: Lab, rest: string[]) => Promise<number>> = {
  ssh: (host, lab, rest) => ssh(lab, [host.name, ...rest]),
  run,
  cut: (host) =>
    atEnd(host.cutLink(), `No packet reaches or leaves ${host.name} until "restore ${host.name}".`),
  restore: (host) => atEnd(host.restoreLink(), `${host.name} is on the network again.`),
  "power-cut": (host) => atEnd(host.powerCut(), `${host.name} is off; "boot ${host.name}" switches it on.`),
  boot: (host) => atEnd(host.boot(), `${host.name} is up.`),
  reboot: (host) => atEnd(host.reboot(), `${host.name} is up again.`),
  changes: async (host) => {
    for (const line of await host.changesSince(await host.firstSnapshot())) console.log(line);
    return 0;
  },
};

/** Separates the lab's own arguments from the command that `run` and `ssh` pass on unchanged. */
function split(argv: string[]): { own: string[]; rest: string[] } {
  const words: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--name") i++;
    else if (!word.startsWith("-")) words.push(word);
    const handsOn = words[0] === "run" || words[0] === "ssh";
    if (handsOn && words.length === 2) return { own: argv.slice(0, i + 1), rest: argv.slice(i + 1) };
  }
  return { own: argv, rest: [] };
}

async function up(name: string, words: string[]): Promise<number> {
  const hosts = words.map(hostChoice);
  const running = await Lab.open(name).catch(() => undefined);
  if (running) {
    console.log(`The lab "${name}" is up already.`);
    const names = hosts.map((host) => host.name);
    if (names.join() !== running.hostNames.join()) console.log(`For other hosts, take it down first.`);
    return status(running);
  }
  return status(await Lab.up({ name, hosts, onProgress: (line) => console.error(line) }));
}

function hostChoice(word: string): HostChoice {
  const [name = "", kind = SUITES[0]] = word.split(":");
  if (kind === "guest") return { name, guest: true };
  const suite = SUITES.find((each) => each === kind);
  if (!suite) throw new Error(`There is no host of the kind "${kind}": say ${SUITES.join(", ")} or guest.`);
  return { name, suite };
}

async function status(lab: Lab): Promise<number> {
  for (const name of lab.hostNames) {
    const host = lab.host(name);
    const state = !(await host.isOn()) ? "off" : (await host.isCut()) ? "on, its link is cut" : "on";
    console.log(`${name.padEnd(12)} ${host.address.padEnd(14)} ${state}`);
  }
  console.log(`\nssh -F ${relative(process.cwd(), lab.sshConfigFile)} ${lab.hostNames.at(-1) ?? ""}`);
  return 0;
}

async function run(host: Host, _lab: Lab, rest: string[]): Promise<number> {
  if (rest.length === 0) throw new Error(`Say what to run: npm run lab -- run ${host.name} COMMAND`);
  const result = await host.run(rest.join(" "), { allowFailure: true, timeoutSeconds: 3600 });
  if (result.stdout) console.log(result.stdout);
  if (result.stderr) console.error(result.stderr);
  return result.exitCode;
}

async function ssh(lab: Lab, args: string[]): Promise<number> {
  const child = spawn("ssh", ["-F", lab.sshConfigFile, ...args], { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => {
      resolve(code ?? 255);
    });
  });
}

async function atEnd(work: Promise<unknown>, sentence: string): Promise<number> {
  await work;
  console.log(sentence);
  return 0;
}

main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  },
);
