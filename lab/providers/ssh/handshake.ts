import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import ssh2, {
  type AnyAuthMethod,
  type AuthHandlerMiddleware,
  type NextAuthHandler,
  type Client,
  type ParsedKey,
} from "ssh2";
import type { Hop } from "./connection.ts";
import { handshakeError, hostPort, loginError } from "./errors.ts";

/** What a hop's settings hold in the way of keys, read before anything is dialled. */
export interface Keys {
  host?: ParsedKey;
  login?: ParsedKey;
}

/** Reads the keys; what is wrong with them is no matter of trying again. */
export function readKeys({ hostKey, privateKey, privateKeyPassword }: Hop): Keys {
  const keys: Keys = {};
  if (hostKey !== undefined) {
    const line = hostKey.split("\n").find((text) => text.trim() !== "" && !text.trimStart().startsWith("#"));
    const parsed = ssh2.utils.parseKey(line?.trim() ?? "");
    if (parsed instanceof Error) throw new Error("failed to parse host key: ssh: no key found");
    keys.host = parsed;
  }
  if (privateKey !== undefined) {
    const parsed = ssh2.utils.parseKey(privateKey, privateKeyPassword);
    if (parsed instanceof Error)
      throw new Error(keyProblem(parsed.message, privateKeyPassword !== undefined));
    keys.login = parsed;
  }
  return keys;
}

function keyProblem(message: string, hasPassword: boolean): string {
  if (hasPassword && !message.includes("Unsupported")) return "x509: decryption password incorrect";
  if (/encrypted/i.test(message)) return "ssh: this private key is passphrase protected";
  return "ssh: no key found";
}

/** Makes an SSH connection of a stream, checks the host's key and logs in. */
export function handshake(stream: Duplex, hop: Hop, keys: Keys): Promise<Client> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    const attempted: string[] = [];
    let mismatch = false;
    let offered = "";
    client.once("ready", () => {
      // Kept until the end of the process; that it breaks off then is of no interest.
      client.on("error", () => undefined);
      resolve(client);
    });
    client.once("error", (error) => {
      if (mismatch) reject(handshakeError("ssh: host key mismatch"));
      else if (error.level === "client-authentication") reject(loginError(attempted));
      else reject(handshakeError(problem(error, keys.host?.type, offered, stream)));
      stream.destroy();
    });
    client.once("close", () => reject(handshakeError("EOF")));
    client.connect({
      sock: stream,
      username: hop.user,
      // The official provider waits for ever.
      readyTimeout: 0,
      authHandler: methods(hop, keys, attempted),
      hostVerifier: (key: Buffer) => {
        mismatch = keys.host !== undefined && !keys.host.getPublicSSH().equals(key);
        return !mismatch;
      },
      ...(keys.host && { algorithms: { serverHostKey: [keys.host.type] } }),
      debug: (line) => {
        offered = /^Handshake: \(remote\) Host key format: (.*)/.exec(line)?.[1] ?? offered;
      },
    });
    // A stream that has ended already, as after a failed handshake by way of a proxy, says nothing more.
    if (stream.destroyed || stream.readableEnded) reject(handshakeError("EOF"));
  });
}

function problem(
  error: Error & { code?: string },
  type: string | undefined,
  offered: string,
  stream: Duplex,
): string {
  if (/no matching host key format/.test(error.message)) {
    const peer = offered.split(",").join(" ");
    return `ssh: no common algorithm for host key; we offered: [${type ?? ""}], peer offered: [${peer}]`;
  }
  if (error.code === "ECONNRESET" && stream instanceof Socket) {
    const local = hostPort(stream.localAddress ?? "", stream.localPort ?? 0);
    const remote = hostPort(stream.remoteAddress ?? "", stream.remotePort ?? 0);
    return `read tcp ${local}->${remote}: read: connection reset by peer`;
  }
  return /lost before handshake|closed|ended/i.test(error.message) ? "EOF" : error.message;
}

/** Offers, in this order, no proof at all, the key (or else the agent's keys), the password. */
function methods(hop: Hop, { login }: Keys, attempted: string[]): AuthHandlerMiddleware {
  const username = hop.user;
  const agent = hop.agentSocketPath ?? process.env.SSH_AUTH_SOCK;
  const queue: AnyAuthMethod[] = [{ type: "none", username }];
  if (login) queue.push({ type: "publickey", username, key: login });
  if (hop.password !== undefined) {
    const { password } = hop;
    queue.push({ type: "password", username, password });
    queue.push({
      type: "keyboard-interactive",
      username,
      prompt: (_name, _instructions, _language, prompts, finish) => finish(prompts.map(() => password)),
    });
  }
  if (!login && agent !== undefined && agent !== "") queue.push({ type: "agent", username, agent });
  // The first call has no list yet, and false ends the attempts: the types know neither.
  return (left: string[] | null, _partial: boolean, next: NextAuthHandler) => {
    for (;;) {
      const method = queue.shift();
      if (method === undefined) return next(false as never);
      const name = method.type === "agent" ? "publickey" : method.type;
      if (left && !left.includes(name)) continue;
      attempted.push(name);
      return next(method);
    }
  };
}
