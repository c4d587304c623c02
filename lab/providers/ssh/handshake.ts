import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import ssh2, {
  type AnyAuthMethod,
  type AuthHandlerMiddleware,
  type NextAuthHandler,
  type Client,
} from "ssh2";
import type { Hop } from "./connection.ts";
import { handshakeError, hostPort, loginError } from "./errors.ts";
import type { Keys } from "./keys.ts";

/** Opens an SSH connection on a stream, checks the host's key and logs in. */
export function handshake(stream: Duplex, hop: Hop, keys: Keys): Promise<Client> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    const attempted: string[] = [];
    let mismatch = false;
    let offered = "";
    const ends = addresses(stream);
    client.once("ready", () => resolve(client));
    // Some failures are reported twice, and a connection that breaks later is reported by the command.
    client.on("error", (error) => {
      if (mismatch) reject(handshakeError("ssh: host key mismatch"));
      else if (error.level === "client-authentication") reject(loginError(attempted));
      else reject(handshakeError(problem(error, keys.host?.type, offered, ends)));
      stream.destroy();
    });
    client.once("close", () => reject(handshakeError(mismatch ? "ssh: host key mismatch" : "EOF")));
    client.connect({
      sock: stream,
      username: hop.user,
      // The official provider waits forever.
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
    // A channel of a proxy that the other side has closed stays half open, and the client would wait forever.
    stream.once("end", () => stream.destroy());
    // A stream that has already ended, as after a failed handshake through a proxy, emits no more events.
    if (stream.destroyed || stream.readableEnded) reject(handshakeError("EOF"));
  });
}

function problem(
  error: Error & { code?: string },
  type: string | undefined,
  offered: string,
  ends: string,
): string {
  if (/no matching host key format/.test(error.message)) {
    const peer = offered.split(",").join(" ");
    return `ssh: no common algorithm for host key; we offered: [${type ?? ""}], peer offered: [${peer}]`;
  }
  if (error.code === "ECONNRESET") return `read tcp ${ends}: read: connection reset by peer`;
  return /lost before handshake|closed|ended/i.test(error.message) ? "EOF" : error.message;
}

/** Both ends of a TCP connection; they are not available any more after a reset. */
function addresses(stream: Duplex): string {
  if (!(stream instanceof Socket)) return "";
  const { localAddress = "", localPort = 0, remoteAddress = "", remotePort = 0 } = stream;
  return `${hostPort(localAddress, localPort)}->${hostPort(remoteAddress, remotePort)}`;
}

/** Offers, in this order, no authentication, the key (or else the agent's keys), the password. */
function methods(hop: Hop, { login, agent }: Keys, attempted: string[]): AuthHandlerMiddleware {
  const username = hop.user;
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
  if (!login && agent !== undefined) queue.push({ type: "agent", username, agent });
  // The first call has no list yet, and false ends the attempts: the types include neither.
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
