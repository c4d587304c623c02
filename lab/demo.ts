/**
 * `make demo`: boots two hosts, runs the program on them as the stack dev, and logs in to the internal host through the
 * tunnel. Then it breaks two things by hand, which the next preview shows and the next up repairs. A second run uses
 * the existing hosts and shows that nothing changes.
 */
import { printable } from "../components/remote/printable.ts";
import { findEngine } from "./engine.ts";
import { Lab } from "./lab.ts";
import { DEV_STACK, openProgram } from "./program.ts";
import type { LabStack, Result } from "./stack.ts";

interface Outputs {
  endpoints: Record<string, Record<string, { endpoint: string; target: string }>>;
  logins: Record<string, { on: string; as: string; command: string }[]>;
  units: Record<string, Record<string, string[]>>;
}

const say = (line = ""): void => console.log(line);

async function main(): Promise<void> {
  say("1. Two hosts: gate, the public one, and nas, which nobody can reach but through it.");
  const lab = await Lab.open().catch(() =>
    Lab.up({ hosts: ["gate", "nas"], onProgress: (line) => say(`   ${line}`) }),
  );
  say(`   gate is ${lab.host("gate").address}, nas is ${lab.host("nas").address}`);
  await lab.host("nas").run(webPage);
  say("   nas has a web page on 127.0.0.1:8080, for itself alone");

  say("2. The Pulumi engine and its providers");
  const engine = await findEngine((line) => say(`   ${line}`));
  say(`   pulumi ${engine.version} (${engine.path})`);

  say("3. pulumi up, stack dev (Pulumi.dev.yaml)");
  const stack = await openProgram(lab, {
    stackFile: DEV_STACK,
    config: { drift: true },
    onStep: ({ op, type, name }) => {
      if (type.startsWith("command:") && op !== "same") say(`   ${op.padEnd(7)} ${name}`);
    },
  });
  const result = await stack.up();
  for (const line of result.diagnostics) if (/warning|error/.test(line)) say(`   ${printable(line, 2000)}`);
  say(`   ${summary(result)} in ${result.seconds.toFixed(1)} s`);

  report(result.outputs as unknown as Outputs);
  await logIn(lab, result.outputs as unknown as Outputs);
  await readPage(result.outputs as unknown as Outputs);
  await repairDrift(lab, stack);

  say();
  say("Go on by hand:");
  say("   ssh -F .lab/default/ssh_config gate     then: ssh nas");
  say("   npm run lab -- power-cut nas            and boot it again: the tunnel comes back by itself");
  say("   make demo                               once more: nothing changes");
  say("   npm run lab -- down                     ends both hosts and leaves nothing");
}

const webPage = `systemctl -q is-active page && exit
  mkdir -p /srv/page && echo 'a page of nas' >/srv/page/index.html
  systemd-run --quiet --unit page busybox httpd -f -p 127.0.0.1:8080 -h /srv/page`;

function report({ endpoints, logins, units }: Outputs): void {
  say("4. What there is now");
  for (const [tunnel, forwards] of Object.entries(endpoints)) {
    for (const [name, { endpoint, target }] of Object.entries(forwards)) {
      say(`   forward ${name}: ${endpoint} leads to ${target} of ${tunnel}`);
    }
  }
  for (const { on, as, command } of Object.values(logins).flat())
    say(`   login: '${command}' as ${as} on ${on}`);
  for (const [host, names] of Object.entries(
    Object.assign({}, ...Object.values(units)) as Record<string, string[]>,
  )) {
    say(`   units on ${host}: ${names.join(", ")}`);
  }
}

/** The first proof: the login back, typed on the public host. */
async function logIn(lab: Lab, { logins }: Outputs): Promise<void> {
  const [login] = Object.values(logins).flat();
  if (!login) throw new Error("the dev stack has no login back to log in by");
  say(`5. A login through the tunnel: ${login.as}@${login.on}$ ${login.command}`);
  const { stdout } = await lab
    .host(login.on)
    .run(`${login.command} 'echo "this is $(hostname), reached from $SSH_CONNECTION"; uptime -p'`);
  for (const line of stdout.split("\n")) say(`   ${printable(line)}`);
}

/** The second proof: the forward open to all, read from this machine. */
async function readPage({ endpoints }: Outputs): Promise<void> {
  const url = `http://${endpoints.nas?.web?.endpoint}/`;
  say(`6. A page through the tunnel: ${url}`);
  say(`   ${(await (await fetch(url)).text()).trim()}`);
}

/** The third proof: what somebody changes by hand is in the next preview, and the next up repairs it. */
async function repairDrift(lab: Lab, stack: LabStack): Promise<void> {
  const gate = lab.host("gate");
  say("7. Drift: somebody on gate removes the entry for 'ssh nas', and stops the timer of the health check");
  await gate.run(
    "rm /root/.ssh/ssh-reverse-tunnel/nas.conf; systemctl --quiet stop 'ssh-tunnels-*-health.timer'",
  );
  say("   pulumi preview, which looks at the hosts first:");
  const preview = await stack.preview();
  for (const line of preview.diagnostics) if (line.startsWith("warning")) say(`   ${printable(line, 2000)}`);
  say(`   ${summary(preview)}`);
  say("   pulumi up:");
  await stack.up();
  const { stdout } = await gate.run("ssh nas hostname; systemctl is-active 'ssh-tunnels-*-health.timer'");
  say(`   repaired: 'ssh nas' leads to ${stdout.split("\n").join(", and the timer is ")}`);
}

function summary({ changes }: Result): string {
  const parts = Object.entries(changes).map(([op, count]) => `${count} ${op}`);
  return `resources: ${parts.join(", ")}`;
}

main().catch((error: unknown) => {
  console.error(`\ndemo: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
