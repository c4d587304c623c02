import { randomBytes } from "node:crypto";
import { exitStatus } from "../../../components/remote/connectionAdvice.ts";
import type { Host } from "../../../lab/host.ts";
import type { Snapshot } from "../../../lab/snapshot.ts";
import type { RemoteScript } from "./remoteScripts.ts";

type Verb = "apply" | "remove";

/** Seconds that a step of the account may take, instead of the minute that the scripts allow. */
const LIMIT = 4;

/** A script that has not ended by then hangs. It has about thirty steps that can each be delayed up to the limit. */
const MOST_SECONDS = 300;

const RECORDS = "/var/lib/ssh-reverse-tunnel";

/**
 * Puts secrets on a host where `alice` may not read, and returns words to recognise them by: a file of root's and one
 * of bob's, one in a closed folder, a password's hash, a line of a private key.
 */
export async function plantSecrets(host: Host): Promise<string[]> {
  const [secret, closed, hash, other] = [0, 1, 2, 3].map(() => `token${randomBytes(12).toString("hex")}`);
  const { stdout } = await host.run(`
    umask 077
    echo ${secret} >/root/secret
    mkdir /root/closed /root/closed/ssh-reverse-tunnel
    ( umask 022
      for name in config authorized_keys nas.key nas.key.pub nas.key.new nas.key.new.pub nas.conf nas.known_hosts; do
        for folder in /root/closed /root/closed/ssh-reverse-tunnel; do
          echo ${closed} | tee "$folder/$name" >"$folder/.$name.ssh-reverse-tunnel"
        done
      done )
    cp /etc/ssh/ssh_host_ed25519_key /root/host_key
    useradd --create-home bob
    useradd --no-create-home --password '$6$salt$${hash}' victim
    mkdir /home/bob/.ssh && echo ${other} | tee /home/bob/secret /home/bob/.ssh/config >/dev/null
    chown -R bob: /home/bob && chmod 700 /home/bob
    printf '# my own\\n' >>/home/alice/.ssh/authorized_keys
    printf 'Host own\\n    ForwardAgent no\\n' >/home/alice/.ssh/config && chown alice: /home/alice/.ssh/config
    tar -C /home/alice -cf /root/home.tar .
    sed -n 4p /root/host_key`);
  return [secret!, closed!, hash!, other!, stdout.trim()];
}

/**
 * A host on which `alice` attacks, and the findings. Each finding begins with the violated claim:
 *
 * - "readable": a secret of root's or of bob's is in a file that alice can read, or in what a script printed.
 * - "changed": something outside alice's home differs from both undisturbed states, without and with what the
 *   scripts do; or others can access what only root should.
 * - "record": an entry that no undisturbed run has made.
 * - "open": a process of alice's had a file of root's open.
 * - "status", "hang": a script ended neither with 0 nor with its own error message, or did not end.
 */
export class Attacked {
  readonly findings: string[] = [];
  /** How often each script ended with each status, and its last message if it failed. */
  private readonly ends = new Map<string, number>();
  private readonly random: () => number;
  /** Undisturbed states, first the one without anything. */
  private readonly states: Snapshot[] = [];
  /** The texts of the dated unit in these states. */
  private readonly dated = new Set<string>();
  private readonly records = new Set<string>();
  private seed: number;

  constructor(
    private readonly host: Host,
    private readonly scripts: RemoteScript[],
    private readonly tokens: string[],
    seed: number,
    private readonly attacker: string,
  ) {
    this.seed = seed;
    this.random = mulberry32(seed);
  }

  /** Ends on a host without anything from these scripts. */
  async prepare(): Promise<void> {
    await this.host.run("cat >/run/attacker.py", { input: this.attacker });
    const states: Snapshot[] = [];
    for (const changed of [false, true]) {
      await this.each("remove", changed);
      await this.each("apply", changed);
      states.push(await this.host.snapshot());
      this.dated.add(await this.datedUnit());
      await this.keepRecords();
    }
    await this.each("remove", true);
    this.states.push(await this.host.snapshot(), ...states);
    await this.keepRecords();
  }

  /** Runs each script in turn, apply and remove, with alice at work. */
  async attack(runs: number, runsBetweenLooks: number, withTrials: boolean): Promise<void> {
    await this.begin("swap swap swap stop");
    let run = 0;
    for (const step of this.steps(withTrials)) {
      await step();
      run++;
      if (run % runsBetweenLooks === 0 || run >= runs || this.hangs()) {
        await this.end();
        await this.look(`after run ${run}`);
        if (run >= runs || this.findings.length > 10 || this.hangs()) return;
        await this.begin("swap swap swap stop");
      }
    }
  }

  /**
   * Runs each script once, apply and remove, while alice keeps open whatever its steps write to; returns those that
   * hang.
   */
  async holdOpen(): Promise<string[]> {
    const before = this.findings.length;
    await this.begin("hold");
    for (const verb of ["apply", "remove"] as const) {
      for (const script of this.scripts) {
        if (!this.hangs()) await this.run(script, verb);
      }
    }
    await this.end();
    return this.findings.slice(before);
  }

  /** With alice gone and the home in its first state: what is wrong with one apply and one remove of everything. */
  async goOnInPeace(): Promise<string[]> {
    await this.end();
    await this.host.run(
      "find /home/alice -mindepth 1 -delete; tar -C /home/alice -xpf /root/home.tar; rm -f /home/alice/loot",
    );
    const wrong = [...(await this.each("apply", false)), ...(await this.each("remove", false))];
    const changes = await this.host.changesSince(this.states[0]!);
    return [...wrong, ...changes.filter((line) => !/ \(mtime\)$|^changed \/etc\/\S+- /.test(line))];
  }

  ranScripts(): string[] {
    return [...new Set([...this.ends.keys()].map((key) => key.split(": ")[0]!))];
  }

  summary(): string {
    const lines = [...this.ends].sort().map(([what, times]) => `  ${times} × ${what}`);
    return [`${this.host.name}:`, ...lines].join("\n");
  }

  private *steps(withTrials: boolean): Generator<() => Promise<void>> {
    for (;;) {
      for (const script of this.scripts) {
        yield () => this.run(script, "apply");
        if (this.random() < 0.4) yield () => this.run(script, "apply");
        if (withTrials && isOnTrial(script)) yield* this.trial(script);
      }
      for (const script of [...this.scripts].reverse()) {
        yield () => this.run(script, "remove");
      }
    }
  }

  /** A change to a running tunnel, and its possible outcomes. */
  private *trial(change: RemoteScript): Generator<() => Promise<void>> {
    const [first, confirm] = ["no", "yes"].map((value) => ({
      ...change,
      name: `${change.name}, CONFIRM=${value}`,
      stdin: replaced(change.stdin, "CONFIRM='now'", `CONFIRM='${value}'`),
    }));
    yield () => this.run(first!, "apply", true);
    const which = this.random();
    if (which < 0.3) yield () => this.run(confirm!, "apply", true);
    else if (which < 0.6) yield () => this.rollBack("script");
    else if (which < 0.9) yield () => this.rollBack("timer");
  }

  private async rollBack(how: string): Promise<void> {
    await this.bounded(`roll-back ${how}`, (options) =>
      this.host.run(
        `for program in /var/lib/*-tunnel-nas-rollback/roll-back; do
          [ ! -f "$program" ] || { sh "$program" ${how}; echo "status $?" >&2; }
        done`,
        options,
      ),
    );
  }

  private async run(script: RemoteScript, verb: Verb, changed = false): Promise<void> {
    const name = `${verb} of ${script.name}${changed ? ", changed" : ""}`;
    const input = this.text(script, changed);
    const result = await this.bounded(name, (options) =>
      this.host.run(`sh -s -- ${verb}`, { ...options, input }),
    );
    if (!result) return;
    const { exitCode, stderr } = result;
    if (exitCode !== 0 && !(OWN_ENDS.includes(exitCode) && /^error: /m.test(stderr))) {
      this.findings.push(`status: ${name} ended with ${exitCode}: ${stderr.slice(-600)}`);
    }
  }

  private async bounded(
    name: string,
    run: (options: { allowFailure: true; timeoutSeconds: number }) => ReturnType<Host["run"]>,
  ) {
    const running = run({ allowFailure: true, timeoutSeconds: MOST_SECONDS }).catch((error: unknown) => {
      this.findings.push(`hang: ${name}: ${String(error).slice(-600)}`);
    });
    // A killed script has not ended for a reader that waits until all its outputs are closed.
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), (MOST_SECONDS + 5) * 1000);
    });
    const first = await Promise.race([running, late]);
    clearTimeout(timer);
    if (first === "late") {
      this.findings.push(`hang: ${name}: its output was still open when it had been killed`);
      await this.end();
    }
    const result = await running;
    if (!result) return undefined;
    const { exitCode, stdout, stderr } = result;
    const said = exitCode === 0 ? "" : ` ${/^error: .*/m.exec(stderr)?.[0] ?? ""}`;
    const end = `${name}: ${exitCode}${said}`;
    this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
    for (const token of this.tokens) {
      if (`${stdout}${stderr}`.includes(token))
        this.findings.push(`readable: ${token} is in what ${name} printed`);
    }
    return result;
  }

  /** Runs all scripts undisturbed; returns those that fail. */
  private async each(verb: Verb, changed: boolean): Promise<string[]> {
    const failed: string[] = [];
    for (const script of verb === "apply" ? this.scripts : [...this.scripts].reverse()) {
      const input = this.text(script, changed);
      const result = await this.host.run(`sh -s -- ${verb}`, { input, allowFailure: true });
      if (result.exitCode !== 0) failed.push(`${verb} of ${script.name}: ${result.stderr}`);
    }
    return failed;
  }

  /** The script, or the same one with changed settings, for which a running tunnel is changed on trial. */
  private text({ name, stdin }: RemoteScript, changed: boolean): string {
    const copies = replaced(stdin, "timeout -s KILL 60", `timeout -s KILL ${LIMIT}`);
    const text = replaced(copies, "as_other 60 ", `as_other ${LIMIT} `);
    if (!isOnTrial({ name })) return text;
    const quick = text.replace(/^SECONDS_TO_WAIT=.*$/m, "SECONDS_TO_WAIT=2");
    return changed ? replaced(quick, "    ServerAliveInterval ", "    ServerAliveInterval 1") : quick;
  }

  /**
   * Not as a service: systemd-nspawn's filter of system calls, which no real host has, would deny some of its calls.
   */
  private async begin(modes: string): Promise<void> {
    await this.host.run(
      `cd /home/alice && setsid setpriv --reuid alice --regid alice --init-groups env HOME=/home/alice \
        python3 /run/attacker.py ${this.seed} ${modes} </dev/null >/dev/null 2>&1 &
      echo $! >/run/attacker.pid`,
    );
    this.seed += 2;
  }

  private async end(): Promise<void> {
    await this.host.run(
      "pid=$(cat /run/attacker.pid); kill -KILL $pid; while [ -d /proc/$pid ]; do sleep 0.01; done",
      { allowFailure: true },
    );
  }

  private hangs(): boolean {
    return this.findings.some((finding) => finding.startsWith("hang"));
  }

  private async look(when: string): Promise<void> {
    const found = (claim: string, what: string) => this.findings.push(`${claim}: ${what} ${when}`);
    const words = this.tokens.map((token) => `-e '${token}'`).join(" ");
    const { stdout } = await this.host.run(
      `setpriv --reuid alice --regid alice --init-groups grep -rlaF -D skip ${words} \
        /home /root /run /tmp /var /etc /usr/local /dev/shm /opt /srv /mnt 2>/dev/null | sed 's/^/readable /'
      for loot in /home/alice/loot/*; do [ ! -s "$loot" ] || echo "open $(head -n 1 -- "$loot")"; done
      find /run/ssh-reverse-tunnel* ! -user root -printf 'changed %p is of %u\\n' 2>/dev/null
      find ${RECORDS} /var/lib/*-rollback* /var/lib/.*-rollback* ! -name '*.taken-back' \\( ! -user root -o -perm /022 ! -type l -o -type d -perm /077 \\) \
        -printf 'changed %p is of %u, mode %m\\n' 2>/dev/null
      rm -rf /home/alice/loot /home/alice/evil`,
      { allowFailure: true },
    );
    for (const line of stdout.split("\n").filter(Boolean)) found(line.split(" ")[0]!, line);
    for (const line of await this.recordLines()) if (!this.records.has(line)) found("record", line);
    for (const line of await this.strange()) found("changed", line);
  }

  /** What is in none of the undisturbed states, outside of alice's home and of what only root stores. */
  private async strange(): Promise<string[]> {
    const now = await this.host.snapshot();
    const lines = new Map<string, string[]>();
    for (const state of this.states) {
      for (const line of await this.host.changesSince(state, now)) {
        const path = line.split(" ")[1]!;
        if (!/ \(mtime\)$/.test(line)) lines.set(path, [...(lines.get(path) ?? []), line]);
      }
    }
    if (this.dated.has(await this.datedUnit())) {
      const unit = lines.get(DATED) ?? [];
      lines.set(
        DATED,
        unit.filter((line) => line !== `changed ${DATED} (content)`),
      );
    }
    return [...lines]
      .filter(([path, all]) => all.length === this.states.length && !RUNNING.test(path))
      .map(([, all]) => all.join(", or "));
  }

  /** Without the number that is the account's own to decide: the time of its key. */
  private async datedUnit(): Promise<string> {
    const { stdout } = await this.host.run(`cat ${DATED}`, { allowFailure: true });
    return stdout.replace(/ KEY_MADE=\d*$/m, " KEY_MADE=");
  }

  /** Without what differs from run to run, and what exists only while something is done. */
  private async recordLines(): Promise<string[]> {
    const { stdout } = await this.host.run(
      `find ${RECORDS} -type f ! -name .stack-id ! -name .tools -exec cat {} +`,
      {
        allowFailure: true,
      },
    );
    return stdout
      .split("\n")
      .filter((line) => line !== "" && !TRANSIENT.test(line))
      .map((line) =>
        line.replace(/^(time|newline)\t(~alice\/\.ssh\/(?:config|authorized_keys))\t.*/, "$1 $2"),
      )
      .map((line) => line.replace(/ssh-ed25519 [^ \t]+|\tAAAA[^\t]+/, " KEY"));
  }

  private async keepRecords(): Promise<void> {
    for (const line of await this.recordLines()) this.records.add(line);
    for (const name of ["config", "authorized_keys"]) {
      for (const kind of ["time ", "newline ", "created\t"]) this.records.add(`${kind}~alice/.ssh/${name}`);
    }
    for (const folder of ["", "/ssh-reverse-tunnel"]) this.records.add(`dir\t~alice/.ssh${folder}`);
  }
}

/** The statuses of a script that has given a reason for its end. */
const OWN_ENDS = [3, ...Object.values(exitStatus)];

/** Exists only in the middle of an apply, or while a change is on trial. */
const TRANSIENT =
  /^restart\tssh-tunnel-nas[a-z-]*\.(service|timer)$|^file\t~alice\/\.ssh\/ssh-reverse-tunnel\/nas\.key\.new(\.pub)?$/;

const RUNNING = new RegExp(
  `^/home/alice(/|$)|^${RECORDS}(/|$)|^/var/lib/[\\w-]+-tunnel-nas-rollback(\\.|/|$)|^/etc/systemd/system/([a-z.]+/)?[\\w-]+-tunnel-nas-rollback-(at-boot|again).service$`,
);

/** Says when the key was made, as its account has it. */
const DATED = "/etc/systemd/system/ssh-tunnel-nas-watchdog.service";

/** Whether it changes a running tunnel on trial. */
const isOnTrial = ({ name }: Pick<RemoteScript, "name">) => name.includes("-start");

function replaced(text: string, what: string, by: string): string {
  if (!text.includes(what)) throw new Error(`There is no '${what}' in the script.`);
  return text.replaceAll(what, by);
}

/** Numbers from 0 to 1, which depend only on the seed. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
