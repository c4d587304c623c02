import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { partText } from "../../tools/parseCommand.ts";
import { until } from "./support/until.ts";

const FOREIGN = "somebody else than root may have written the records of what was done here";

/**
 * An account that our scripts work for may set up its home as it likes, with folders, links and pipes anywhere. Root
 * must not act where such a link leads, whatever verb runs. These are the scripts as they are sent, run on a host by
 * hand.
 */
describe("an account with a login", () => {
  let lab: Lab;
  let gate: Host;

  beforeAll(async () => {
    lab = await Lab.up({ name: "accounts", hosts: ["gate"] });
    gate = lab.host("gate");
    await gate.run(
      `cp -a /home/alice /root/alice
      install -m 600 /dev/null /root/secret; echo 'the secret of root' >/root/secret`,
    );
  });
  afterAll(async () => {
    await lab?.down();
  });

  const parts = {
    key: ["keyPair", { FILE: "nas.key", COMMENT: "alice@gate", TYPES: "ed25519 ecdsa" }],
    known: ["knownHost", { FILE: "nas.known_hosts", KEYS: "nas ssh-ed25519 AAAA" }],
    config: ["clientConfig", { FILE: "nas.conf", ENTRY: "Host nas\n    HostName 127.0.0.1" }],
    authorized: [
      "authorizedKey",
      {
        LINE: "restrict ssh-ed25519 AAAAours ssh-reverse-tunnel:p-s/a",
        MARKER: "ssh-reverse-tunnel:p-s/a",
        FILE: "",
        PERMITS: "",
        TARGET_HOST: "",
        TARGET_PORT: "",
      },
    ],
  } as const satisfies Record<string, [string, Record<string, string>]>;
  type Part = keyof typeof parts;

  const run = async (verb: "apply" | "remove", part: Part, changes: Record<string, string> = {}) => {
    const [script, values] = parts[part];
    const header = { HOST: "gate", OWNER: "p-s", STACK_ID: "", RESOURCE: part, WHAT: `the ${part}` };
    return gate.run(`timeout -s KILL 100 sh -s -- ${verb}`, {
      input: partText(script, { ...header, ACCOUNT: "alice", ...values, ...changes }),
      allowFailure: true,
    });
  };
  const all = Object.keys(parts) as Part[];
  const applyAll = async () => {
    for (const part of all) expect(await run("apply", part)).toMatchObject({ exitCode: 0 });
  };
  const asAlice = (command: string) => gate.run(`su alice -c '${command}'`);

  /** Everything in root's folders, except for what its programs update all the time. */
  const roots = async (but = "/var/lib/systemd") => {
    const places = `/etc /root /var/lib /opt /usr/local -path /var/lib/systemd -prune -o -path ${but} -prune -o`;
    return (
      await gate.run(
        `find ${places} -printf '%p %y %m %U:%G %l\\n'; find ${places} -type f -exec sha256sum {} +`,
      )
    ).stdout;
  };

  beforeEach(applyAll);
  afterEach(async () => {
    await gate.run("rm -rf /home/alice /var/lib/ssh-reverse-tunnel && cp -a /root/alice /home/alice");
  });

  it.each(["/var/lib", "/etc/ssh", "/root", "/etc"])(
    "gains no access to root's files by replacing ~/.ssh with a link to %s, and gets an error message",
    async (target) => {
      await asAlice(`mv ~/.ssh ~/old && ln -s ${target} ~/.ssh`);
      const before = await roots();
      for (const part of all) {
        const { stderr, exitCode } = await run("apply", part);
        expect({ stderr, exitCode }).toEqual({
          stderr: expect.stringContaining("error: gate: ~alice/.ssh is a link") as string,
          exitCode: 3,
        });
      }
      expect(await roots()).toBe(before);
    },
  );

  it("gains no access to root's files by replacing our folder below ~/.ssh with a link", async () => {
    await asAlice("cd ~/.ssh && mv ssh-reverse-tunnel old && ln -s /etc/ssh/ssh_config.d ssh-reverse-tunnel");
    const before = await roots();
    for (const part of ["key", "known", "config"] as const) {
      expect((await run("apply", part)).stderr).toContain("~alice/.ssh/ssh-reverse-tunnel is a link");
    }
    expect(await roots()).toBe(before);
  });

  it("cannot make a removal delete what its links point to, and the removal reports what is left", async () => {
    await gate.run("echo '# of root' >/etc/ssh/ssh_config.d/nas.conf");
    await asAlice("cd ~/.ssh && mv ssh-reverse-tunnel old && ln -s /etc/ssh/ssh_config.d ssh-reverse-tunnel");
    const removed = await run("remove", "config");
    expect(removed).toMatchObject({ exitCode: 0 });
    expect(removed.stderr).toContain(
      "~alice/.ssh/ssh-reverse-tunnel/nas.conf stays, since a folder on the way to it is a link now",
    );
    expect((await gate.run("cat /etc/ssh/ssh_config.d/nas.conf")).stdout).toBe("# of root");
    await gate.run("rm /etc/ssh/ssh_config.d/nas.conf");
  });

  it.each(["config", "authorized_keys"])(
    "cannot read root's secrets by replacing its %s with a link, and gets an error message",
    async (file) => {
      await asAlice(`cd ~/.ssh && mv ${file} old; ln -s /root/secret ${file}`);
      const before = await roots("/var/lib/ssh-reverse-tunnel");
      const { stderr, stdout, exitCode } = await run("apply", file === "config" ? "config" : "authorized");
      expect(exitCode).toBe(3);
      expect(stderr).toContain(`error: gate: cannot write ~alice/.ssh/${file}: it is a link to /root/secret`);
      expect(stderr + stdout).not.toContain("the secret");
      expect((await gate.run("grep -rs 'the secret' /home/alice", { allowFailure: true })).stdout).toBe("");
      expect(await roots("/var/lib/ssh-reverse-tunnel")).toBe(before);
    },
  );

  it.each(["config", "authorized_keys"])(
    "cannot hang a script by replacing its %s with a pipe",
    async (file) => {
      await asAlice(`cd ~/.ssh && rm -f ${file} && mkfifo ${file}`);
      for (const verb of ["apply", "remove"] as const) {
        const { stderr, exitCode } = await run(verb, file === "config" ? "config" : "authorized");
        expect({ stderr, exitCode }).toEqual({
          stderr: expect.stringContaining(`~alice/.ssh/${file} cannot be read by its account`) as string,
          exitCode: 3,
        });
      }
    },
  );

  it("is refused with an error message if its file belongs to another user", async () => {
    await gate.run(
      "chown root: /home/alice/.ssh/config && chmod 644 /home/alice/.ssh/config && sed -i 1d /home/alice/.ssh/config",
    );
    expect((await run("apply", "config")).stderr).toContain(
      "cannot write ~alice/.ssh/config: it belongs to somebody else than its account, alice; give it to that account",
    );
  });

  it("has its own key in a home that root owns, and a removal leaves nothing of it", async () => {
    await gate.run(
      "chown root: /home/alice && rm -rf /home/alice/.ssh && rm -rf /var/lib/ssh-reverse-tunnel",
    );
    await applyAll();
    expect(
      (await gate.run("stat -c '%U %a' /home/alice/.ssh /home/alice/.ssh/ssh-reverse-tunnel/nas.key")).stdout,
    ).toBe("alice 700\nalice 600");
    for (const part of all.toReversed()) expect(await run("remove", part)).toMatchObject({ exitCode: 0 });
    expect(
      (await gate.run("ls -A /home/alice | grep ssh || :; ls -d /var/lib/ssh-reverse-tunnel || :")).stdout,
    ).toBe("");
  });

  it("cannot add keys to a file that sshd reads from a folder that root owns", async () => {
    await gate.run(
      `mkdir -p /etc/ssh/keys && echo 'AuthorizedKeysFile /etc/ssh/keys/%u' >/etc/ssh/sshd_config.d/50-own.conf && sshd -t`,
    );
    expect(await run("apply", "authorized", { RESOURCE: "central" })).toMatchObject({ exitCode: 0 });
    expect((await gate.run("stat -c '%U:%G %a' /etc/ssh/keys/alice && cat /etc/ssh/keys/alice")).stdout).toBe(
      `root:root 644\n${parts.authorized[1].LINE}`,
    );
    expect(await run("remove", "authorized", { RESOURCE: "central" })).toMatchObject({ exitCode: 0 });
    await gate.run("rmdir /etc/ssh/keys && rm /etc/ssh/sshd_config.d/50-own.conf");
  });

  it.each([
    [
      "are a link",
      "cd /var/lib/ssh-reverse-tunnel/p-s && ln -s /home/alice/record x",
      "x is a link, and the records",
    ],
    [
      "belong to it",
      "rm -f /var/lib/ssh-reverse-tunnel/p-s/x; chown alice /var/lib/ssh-reverse-tunnel/p-s",
      FOREIGN,
    ],
    ["are in a folder that others may read", "chmod 755 /var/lib/ssh-reverse-tunnel", FOREIGN],
    ["others may write", "chmod 666 /var/lib/ssh-reverse-tunnel/p-s/config", FOREIGN],
  ])("cannot have records undone that %s", async (_how, command, sentence) => {
    await gate.run(command);
    const before = await roots();
    for (const verb of ["apply", "remove"] as const) {
      const { stderr, exitCode } = await run(verb, "config");
      expect(exitCode).toBe(3);
      expect(stderr).toContain(sentence);
    }
    expect(await roots()).toBe(before);
  });

  it("that no longer exists has its records removed, with a note", async () => {
    // usermod does not rename a user with running processes, and those of an earlier su may still be ending.
    const rename = async (one: string, other: string) => {
      await gate.run(`pkill -KILL -u ${one}`, { allowFailure: true });
      await until("the end of the account's processes", 60, async () => {
        const renamed = await gate.run(`usermod -l ${other} ${one}`, { allowFailure: true });
        return renamed.exitCode === 0;
      });
    };
    await rename("alice", "bob");
    const removed = await run("remove", "config");
    await rename("bob", "alice");
    expect(removed).toMatchObject({ exitCode: 0 });
    expect(removed.stderr).toContain("~alice/.ssh/config is left alone, since its account is gone");
  });
});
