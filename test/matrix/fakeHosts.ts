import { once } from "node:events";
import type { AddressInfo } from "node:net";
import ssh2, { type Connection } from "ssh2";
import { hostKeysOf, publicKeyOf } from "../../tools/mocks.ts";
import { parseCommand, textsOf } from "../../tools/parseCommand.ts";
import { newSshKey } from "../support/sshKey.ts";
import { joinWithPort } from "./sshServer.ts";

/** An SSH server on loopback that answers every script as a host on which it succeeds, and runs none. */
export interface FakeHost {
  /** Its admin connection in the settings. */
  admin: { port: number; hostKey: string; privateKey: string };
  /** What it was asked since the last call: the verb and the record of each script, and each login while it is off. */
  visits: () => string[];
  /** Ends each connection at once from now on. */
  turnOff: () => void;
  close: () => void;
}

/** Starts one on a free port. */
export async function startFakeHost(name: string): Promise<FakeHost> {
  const [host, login] = [newSshKey(), newSshKey()];
  const allowed = ssh2.utils.parseKey(login.publicLine);
  if (allowed instanceof Error) throw allowed;
  const open = new Set<Connection>();
  let visits: string[] = [];
  let off = false;
  const server = new ssh2.Server({ hostKeys: [host.privateKey] }, (client) => {
    client.on("error", () => undefined);
    if (off) {
      visits.push("a login");
      client.end();
      return;
    }
    open.add(client);
    client.on("close", () => open.delete(client));
    client.on("authentication", (attempt) => {
      if (attempt.method === "publickey" && attempt.key.data.equals(allowed.getPublicSSH())) attempt.accept();
      else attempt.reject(["publickey"]);
    });
    client.on("session", (accept) => {
      const session = accept();
      session.on("exec", (acceptExec, _reject, { command }) => {
        const channel = acceptExec();
        const input: Buffer[] = [];
        channel.on("data", (data: Buffer) => input.push(data));
        channel.on("end", () => {
          const text = Buffer.concat(input).toString();
          const verb = command.split(" ").at(-1)!;
          visits.push(`${verb} ${decodeURIComponent(/^RESOURCE='([^']*)'/m.exec(text)?.[1] ?? "")}`.trim());
          if (verb === "apply") channel.write(answerTo(text, name));
          channel.exit(0);
          channel.end();
        });
      });
    });
    // As a host on the way to another.
    client.on("tcpip", (accept, _reject, { destPort }) => joinWithPort(accept(), destPort));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    admin: {
      port: (server.address() as AddressInfo).port,
      hostKey: host.publicLine,
      privateKey: login.privateKey,
    },
    visits: () => visits.splice(0),
    turnOff: () => {
      off = true;
      visits = [];
    },
    close: () => {
      for (const client of open) client.end();
      server.close();
    },
  };
}

/** What a script prints that has succeeded. */
function answerTo(text: string, host: string): string {
  const { common, parts } = parseCommand(text);
  const lines = parts.flatMap(({ script, values }) => {
    const given = { ...textsOf(common), ...textsOf(values) };
    if (script === "hostFacts") return hostKeysOf(host);
    if (script === "keyPair") {
      const { ACCOUNT = "", FILE = "", COMMENT = "" } = given;
      return [`key ${ACCOUNT}/${FILE} ${publicKeyOf(FILE, COMMENT)}`];
    }
    if (script !== "remotePorts") return [];
    return given.FORWARDS!.split(" ").map((word) => {
      const [forward, , port = ""] = word.split(",");
      return `port ${forward} ${port.replace("auto:", "")}`;
    });
  });
  return lines.map((line) => `${line}\n`).join("");
}
