import { createHash } from "node:crypto";
import type { Host } from "../../../lab/host.ts";
import type { Snapshot } from "../../../lab/snapshot.ts";
import type { Cut } from "./cuts.ts";
import { cutAt, listCuts } from "./cuts.ts";
import type { RemoteScript } from "./remoteScripts.ts";
import { oneIn } from "./sample.ts";

/** What must be true at, or after, every cut. */
export type Claim = "login" | "whole files" | "next up" | "removal";

/** A violation: at which step of which script, and what was found instead. */
export interface Finding {
  claim: Claim;
  text: string;
}

type Verb = "apply" | "remove";

/** The host without and with what the scripts manage. */
interface State {
  files: Snapshot;
  /** Our units in systemd, and the records. */
  rest: string;
}

/** The cuts of a script. */
interface Lists {
  script: RemoteScript;
  apply: Cut[];
  remove?: Cut[];
}

/** One of this many cuts is tried, unless everything is: see sample.ts. */
const SHARE = 12;

/** A trial with this many violations is ended: later ones may be consequences. */
const ENOUGH = 10;

/**
 * Cuts scripts at every step, or at a sample of them, of `apply` and of `remove`. The scripts are those of one
 * component, in order. The trial begins on a host without anything from them, and ends with everything in place.
 *
 * At each cut it checks the host. Then it continues in both ways: with an undisturbed apply, which must reach the same
 * state as one from nothing, and, from the same cut again, with a remove, which must leave nothing.
 */
export class CrashTrial {
  readonly findings: Finding[] = [];
  /** How many cuts a script has, by verb. */
  readonly cuts: Record<string, number> = {};
  /** How many of them were tried. */
  tried = 0;
  /** The output of a script's last apply. */
  readonly results: Record<string, string> = {};
  private without!: State;
  private complete!: State;
  /** The state of everything that affects logins at the last login: the paths that differ, in words. */
  private lastLogin: string | undefined;

  constructor(
    private readonly host: Host,
    private readonly scripts: RemoteScript[],
    private readonly mayLogIn: () => Promise<boolean>,
  ) {}

  async run(): Promise<void> {
    // What a first run leaves permanently, backups of the account files, exists from here on.
    await this.each(this.scripts, "apply", "at first");
    await this.each(this.scripts, "remove", "at first");
    this.without = await this.state();
    const lists: Lists[] = [];
    for (const script of this.scripts) lists.push({ script, apply: await this.list(script, "apply") });
    this.complete = await this.state();
    for (const list of [...lists].reverse()) list.remove = await this.list(list.script, "remove");
    await this.expect("removal", this.without, "undisturbed");
    try {
      for (const list of lists) await this.cutEachStep(list);
    } catch (error) {
      this.found("next up", "from here on", String(error));
    }
    await this.each(this.scripts, "apply", "in the end");
  }

  private async list(script: RemoteScript, verb: Verb): Promise<Cut[]> {
    const cuts = await listCuts(this.host, script.stdin, verb);
    this.cuts[`${verb} of ${script.name}`] = cuts.length;
    return cuts;
  }

  private async cutEachStep({ script, ...lists }: Lists): Promise<void> {
    const apply = oneIn(SHARE, lists.apply, `apply of ${script.name}`);
    const remove = oneIn(SHARE, lists.remove ?? [], `remove of ${script.name}`);
    for (let i = 0; i < Math.max(apply.length, remove.length); i++) {
      if (this.findings.length >= ENOUGH) return;
      if (apply[i]) await this.cut(script, "apply", apply[i]!);
      else await this.each(this.scripts, "apply", "before a remove");
      if (remove[i]) await this.cut(script, "remove", remove[i]!);
      else await this.each(this.scripts, "remove", "after an apply");
    }
  }

  /**
   * An apply is cut on a host without the scripts' changes, and ends with all of them; a remove the other way round.
   */
  private async cut(script: RemoteScript, verb: Verb, cut: Cut): Promise<void> {
    const where = `${verb} of ${script.name}, killed ${cut.moment}`;
    this.tried++;
    const index = this.scripts.indexOf(script);
    const earlier = verb === "apply" ? this.scripts.slice(0, index) : this.scripts.slice(index + 1);
    const kill = async (then?: string) => {
      await this.each(earlier, verb, where);
      return cutAt(this.host, script.stdin, verb, cut, then);
    };
    await this.look(where, await kill(look));
    await this.goOn(verb === "apply" ? "remove" : "apply", where);
    await kill();
    await this.goOn(verb, where);
  }

  private async goOn(verb: Verb, where: string): Promise<void> {
    await this.each(this.scripts, verb, where);
    if (verb === "apply") await this.expect("next up", this.complete, where);
    else await this.expect("removal", this.without, where);
  }

  /** Checks the host as a cut has left it: whether each file is as before or as at the end, and logins work. */
  private async look(where: string, seen: string): Promise<void> {
    if (seen) this.found("whole files", where, seen);
    const now = await this.host.snapshot();
    const byPath = (lines: string[]) => new Map(lines.map((line) => [line.split(" ")[1] ?? "", line]));
    const sinceComplete = byPath(await this.changes(this.complete.files, now));
    for (const [path, line] of byPath(await this.changes(this.without.files, now))) {
      const other = sinceComplete.get(path);
      const entry = now.entries[path];
      if (!other || entry?.kind === "directory" || path.startsWith(RECORDS)) continue;
      // A name that exists neither before nor at the end is a temporary one.
      if (line.startsWith("added") && (other.startsWith("added") || entry?.content === EMPTY)) continue;
      if (await this.hasOnlyANewlineMore(path)) continue;
      this.found("whole files", where, `${line} (since before), ${other} (since the whole)`);
    }
    // A login takes the most time here: it is done once for each state of what it depends on.
    const bearing =
      [...sinceComplete.values()].filter((line) => LOGINS.test(line)).join() + systemdStep(where);
    if (bearing !== this.lastLogin && !(await this.mayLogIn())) {
      this.found("login", where, "the admin may not log in");
    }
    this.lastLogin = bearing;
  }

  /** A final newline that we had to add is removed after our line, in a separate step. */
  private async hasOnlyANewlineMore(path: string): Promise<boolean> {
    const { stdout } = await this.host.run(`cat -- '${path}'`, { allowFailure: true });
    return createHash("sha256").update(stdout).digest("hex") === this.without.files.entries[path]?.content;
  }

  private async expect(claim: Claim, state: State, where: string): Promise<void> {
    const now = await this.state();
    const changes = await this.changes(state.files, now.files);
    if (now.rest !== state.rest) changes.push(`${now.rest} instead of ${state.rest}`);
    if (changes.length > 0) this.found(claim, where, changes.join("; "));
  }

  private async state(): Promise<State> {
    const files = await this.host.snapshot();
    const ofUnits = this.scripts.some(({ stdin }) => stdin.includes("systemctl"));
    return { files, rest: (await this.host.run(ofUnits ? records + units : records)).stdout };
  }

  /** Runs scripts as they are, in order or in reverse. Each must succeed. */
  private async each(scripts: RemoteScript[], verb: Verb, where: string): Promise<void> {
    for (const { name, stdin } of verb === "apply" ? scripts : [...scripts].reverse()) {
      const result = await this.host.run(`sh -s -- ${verb}`, { input: stdin, allowFailure: true });
      if (verb === "apply") this.results[name] = result.stdout;
      const claim = verb === "apply" ? "next up" : "removal";
      if (result.exitCode !== 0) this.found(claim, where, `then, ${verb} of ${name}: ${result.stderr}`);
    }
  }

  private found(claim: Claim, where: string, what: string): void {
    this.findings.push({ claim, text: `${where}: ${what}` });
  }

  /** Changes, except for times, backups of the account files, and keys, which differ each time. */
  private async changes(since: Snapshot, until: Snapshot): Promise<string[]> {
    return (await this.host.changesSince(since, until)).filter((line) => !ofNoAccount.test(line));
  }
}

const LOGINS = / \/(etc\/(ssh|passwd|shadow|group)|.*\/\.ssh\/)/;

/** A step by which sshd may have changed without a trace on the disk. */
const systemdStep = (where: string) => (/ (systemctl|systemd-run|sh) /.test(where) ? where : "");

const RECORDS = "/var/lib/ssh-reverse-tunnel/";

/** The hash of no bytes: a file that we had created, and whose line of ours is gone. */
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** The last two are of what a health check keeps, which has times and may be written right now; a removal clears its folder. */
const ofNoAccount =
  /\(mtime\)$|^changed \/var\/lib\/ssh-reverse-tunnel\/\S+ \(content\)$|^changed \/etc\/(passwd|group|shadow|gshadow)- |^changed \S+\/ssh-reverse-tunnel\/\S+\.key(\.pub)? \(content\)$|^changed \/var\/lib\/ssh-tunnels-\S+-health\/logins \(content\)$|^added \/var\/lib\/ssh-tunnels-\S+-health\/logins\.new$/;

/** Reports mistakes in files that may differ from before and from the end: records and keys. */
const look = `
  sshd -t 2>&1
  find ${RECORDS} -type f ! -name '*.new' ! -name .stack-id ! -name .tools 2>/dev/null | while read -r record; do
    [ -s "$record" ] && [ -z "$(tail -c 1 "$record")" ] && ! grep -vP '^[a-z_]+\\t.' "$record" || echo "$record is not whole"
  done
  find /root /home /var/lib/tunnel-* -path '*/ssh-reverse-tunnel/*.key' 2>/dev/null | while read -r key; do
    ssh-keygen -y -P '' -f "$key" >/dev/null 2>&1 || echo "$key is no key"
  done
`;

/** The records, in any order; the times of files differ in each round. */
const records = `
  find ${RECORDS} -type f ! -name '*.new' 2>/dev/null | sort | while read -r record; do
    echo "$record"; grep -v '^time' "$record" | sort
  done
`;

/** Our units in systemd, and whether they match the disk. What a timer starts is not included. */
const units = `
  systemctl show --property Id,ActiveState,UnitFileState,NeedDaemonReload '*ssh-tunnel*' '*-sshd-rollback*' |
    sed 's/=activating$/=active/' | awk -v RS= -v OFS=' ' '{ $1 = $1 } !/UnitFileState=static/' | sort
`;
