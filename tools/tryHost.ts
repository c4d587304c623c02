/**
 * Writes one POSIX sh script that does on a single host what `pulumi up` and `pulumi destroy` do with a tunnel from it
 * to itself: exactly the same scripts, in the order of the program, without Pulumi. See docs/try-host.md.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { FirewallPorts } from "../components/parts/firewallPorts/firewallPorts.ts";
import { InternalHost, PublicHost, ReverseTunnel } from "../components/index.ts";
import { type Answers, record } from "./mocks.ts";

const [file] = process.argv.slice(2);
if (!file) {
  throw new Error("usage: tsx tools/tryHost.ts FILE");
}

/** Placeholder for a key that a script prints, by its name there; the host replaces it with the real one. */
const keyOf = (name: string) => `ssh-ed25519 AAAA${Buffer.from(name).toString("hex")}`;

const answers: Answers = {
  hostFacts: ({ RESOURCE = "" }) => keyOf(RESOURCE),
  keyPair: ({ ACCOUNT, FILE }) => `key ${ACCOUNT}/${FILE} ${keyOf(`${ACCOUNT}/${FILE}`)}`,
};

const program = () => {
  const connection = { host: "127.0.0.1", user: "root", hostKey: keyOf("none") };
  const gate = new PublicHost("gate", { connection, installPackages: false });
  new ReverseTunnel("try", {
    publicHost: gate,
    internalHost: new InternalHost("nas", { connection }),
    // Both ends are on one host, which can have only one account with the tunnel's name.
    account: "root",
    forwards: {
      ssh: { remotePort: 20022, target: 22 },
      open: { remotePort: 20023, target: 22, listen: "all" },
    },
    logins: [{ from: "root", to: "root", alias: "try-host" }],
  });
  // Refused, as it should be, if there is no firewall.
  new FirewallPorts("sources", {
    host: gate.host,
    ports: [{ port: 20024, sources: ["203.0.113.0/24", "2001:db8::/32"] }],
  });
};

const { commands } = await record(program, false, answers);

const END = "END_OF_TRY_HOST_SCRIPT";
const parts = commands.map(({ name, inputs }) => {
  const removes = "delete" in inputs ? "removes" : "stays";
  return `script '${name}' ${removes} <<'${END}'\n${String(inputs.stdin)}${END}\n`;
});
mkdirSync(dirname(file), { recursive: true });
const runner = readFileSync(new URL("tryHost.sh", import.meta.url), "utf8");
writeFileSync(
  file,
  runner.replace(/^# SCRIPTS\n/m, () => parts.join("")),
  { mode: 0o755 },
);
console.log(`wrote ${file}: copy it to the host, and run it there as root`);
