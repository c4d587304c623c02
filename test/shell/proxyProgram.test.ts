import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readProgram } from "../../components/remote/scriptFiles.ts";
import { renderProxyFile } from "../../components/render/proxyFile.ts";

// The real program that ssh starts as its ProxyCommand, with proxies that answer what a test tells them to.

let folder: string;
let server: Server | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "proxy-"));
  mkdirSync(join(folder, ".ssh/ssh-reverse-tunnel"), { recursive: true });
  writeFileSync(join(folder, "proxy"), readProgram("proxy"));
});
afterEach(() => {
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const target = { address: "gate.example.org", port: 443 };

/** A proxy that sends each answer after this many octets of the client; what it heard; then it echoes. */
async function proxy(answers: [octets: number, answer: Buffer | string][]) {
  const heard: Buffer[] = [];
  const serve = (socket: Socket) => {
    let rest = Buffer.alloc(0);
    let next = 0;
    socket.on("error", () => undefined);
    socket.on("data", (data) => {
      rest = Buffer.concat([rest, data]);
      for (let answer = answers[next]; answer && rest.length >= answer[0]; answer = answers[++next]) {
        heard.push(rest.subarray(0, answer[0]));
        rest = rest.subarray(answer[0]);
        socket.write(answer[1]);
      }
      if (next === answers.length && rest.length > 0) {
        if (rest.includes("bye")) socket.end("good bye");
        else socket.write(rest);
        rest = Buffer.alloc(0);
      }
    });
  };
  server = createServer(serve);
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as AddressInfo).port, heard };
}

/** Runs it as ssh does; returns what arrives, how it ended, and why it refused. */
async function run(args: string[], input: string) {
  const child = spawn("bash", [join(folder, "proxy"), ...args], {
    env: { HOME: folder, RUNTIME_DIRECTORY: folder, PATH: `${folder}:${process.env["PATH"] ?? ""}` },
    stdio: ["pipe", "pipe", "ignore"],
  });
  child.stdin.on("error", () => undefined);
  child.stdin.write(input);
  let stdout = "";
  child.stdout.setEncoding("latin1").on("data", (text: string) => (stdout += text));
  await new Promise((resolve) => child.stdout.on("close", resolve));
  child.stdin.end(); // as ssh, which has lost its connection
  const status = await new Promise((resolve) => {
    if (child.exitCode !== null) resolve(child.exitCode);
    else child.on("exit", resolve);
  });
  const refused = join(folder, "refused");
  return { stdout, status, why: existsSync(refused) ? readFileSync(refused, "utf8").trim() : "" };
}

const through = async (kind: "http" | "socks5", port: number, login?: { user: string; password: string }) => {
  const text = renderProxyFile({ kind, host: "127.0.0.1", port, ...login }, target);
  writeFileSync(join(folder, ".ssh/ssh-reverse-tunnel/nas.proxy"), `${text}\n`);
  return run([kind, "nas"], "SSH-2.0-x\r\nbye");
};

const login = { user: "site", password: "pa:ss %\\w\u00f6rd" };

describe("the way through an HTTP proxy", () => {
  const request = "CONNECT gate.example.org:443 HTTP/1.1\r\nHost: gate.example.org:443\r\n\r\n";

  test("is asked for by CONNECT, and then carries every octet", async () => {
    const { port, heard } = await proxy([
      [request.length, "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nSSH-2.0-y\r\n\0\x01\x7f\xff"],
    ]);
    const { stdout, status } = await through("http", port);
    expect(heard.map(String)).toEqual([request]);
    expect(stdout).toBe(Buffer.from("SSH-2.0-y\r\n\0\x01\x7f\xff").toString("latin1") + "good bye");
    expect(status).not.toBe(null);
  });

  test("is asked for with a user and a password", async () => {
    const words = Buffer.from(`${login.user}:${login.password}`).toString("base64");
    const withLogin = request.replace(/\r\n$/, `Proxy-Authorization: Basic ${words}\r\n\r\n`);
    const { port, heard } = await proxy([[withLogin.length, "HTTP/1.0 200 OK\r\n\r\n"]]);
    expect((await through("http", port, login)).stdout).toBe("good bye");
    expect(heard.map(String)).toEqual([withLogin]);
  });

  test.each([
    [
      "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
      /^the proxy 127\.0\.0\.1:\d+ wants another user or password \(HTTP\/1\.1 407 Proxy Auth/,
    ],
    [
      "HTTP/1.0 403 Filtered\r\n\r\n",
      /^the proxy \S+ does not connect to the public host \(HTTP\/1\.0 403 Filtered\)$/,
    ],
    [
      "HTTP/1.1 403 \u001b]0;owned\u0007\u00e4\r\n\r\n",
      /^the proxy \S+ does not connect to the public host \(HTTP\/1\.1 403 \?\]0;owned\?\?\?\)$/,
    ],
    ["SSH-2.0-OpenSSH_9.2\r\n", /^the proxy \S+ is not an HTTP proxy: it answers 'SSH-2\.0-OpenSSH_9\.2'$/],
  ])("is refused by %j, with the reason", async (answer, reason) => {
    const { port } = await proxy([[request.length, answer]]);
    const { stdout, status, why } = await through("http", port);
    expect({ stdout, status }).toEqual({ stdout: "", status: 1 });
    expect(why).toMatch(reason);
  });
});

describe("the way through a SOCKS5 proxy", () => {
  const named = Buffer.concat([
    Buffer.from([5, 1, 0, 3, 16]),
    Buffer.from("gate.example.org"),
    Buffer.from([1, 187]),
  ]);
  const granted = [5, 0, 0, 1, 10, 0, 0, 1, 4, 56];

  test.each([
    ["an IPv4 address", granted],
    ["an IPv6 address", [5, 0, 0, 4, ...Array<number>(16).fill(0), 4, 56]],
    ["a name", [5, 0, 0, 3, 3, 97, 0, 255, 4, 56]],
  ])("is asked for by the public host's name, and answered with %s", async (_, answer) => {
    const { port, heard } = await proxy([
      [3, Buffer.from([5, 0])],
      [named.length, Buffer.from(answer)],
    ]);
    expect((await through("socks5", port)).stdout).toBe("good bye");
    expect(heard).toEqual([Buffer.from([5, 1, 0]), named]);
  });

  test("is asked for with a user and a password if the proxy wants them", async () => {
    const password = Buffer.from(login.password);
    const words = Buffer.concat([
      Buffer.from([1, 4]),
      Buffer.from("site"),
      Buffer.from([password.length]),
      password,
    ]);
    const { port, heard } = await proxy([
      [4, Buffer.from([5, 2])],
      [words.length, Buffer.from([1, 0])],
      [named.length, Buffer.from(granted)],
    ]);
    expect((await through("socks5", port, login)).stdout).toBe("good bye");
    expect(heard).toEqual([Buffer.from([5, 2, 0, 2]), words, named]);
  });

  test.each([
    ["no login of ours", [[3, [5, 255]]], /wants a user and a password/],
    [
      "its rules",
      [
        [3, [5, 0]],
        [named.length, [5, 2, 0, 1]],
      ],
      /does not connect to the public host \(not allowed by its rules\)$/,
    ],
    [
      "a code of its own",
      [
        [3, [5, 0]],
        [named.length, [5, 99, 0, 1]],
      ],
      /\(code 99\)$/,
    ],
    ["another protocol", [[3, [72, 84]]], /^the proxy \S+ is not a SOCKS5 proxy$/],
  ] as [string, [number, number[]][], RegExp][])(
    "is refused because of %s, with the reason",
    async (_, answers, reason) => {
      const { port } = await proxy(answers.map(([octets, answer]) => [octets, Buffer.from(answer)]));
      const { status, why } = await through("socks5", port);
      expect(status).toBe(1);
      expect(why).toMatch(reason);
    },
  );

  test("is refused with a wrong password", async () => {
    const { port } = await proxy([
      [4, Buffer.from([5, 2])],
      [9, Buffer.from([1, 1])],
    ]);
    expect((await through("socks5", port, login)).why).toMatch(/wants another user or password$/);
  });
});

test("a proxy that is down is named, with the reason", async () => {
  const { port } = await proxy([]);
  await new Promise((resolve) => server!.close(resolve));
  expect((await through("http", port)).why).toBe(
    `the proxy 127.0.0.1:${port} cannot be reached (Connection refused)`,
  );
});

test("the way through a jump host is its ssh's, and what that says is kept", async () => {
  writeFileSync(join(folder, "ssh"), '#!/bin/sh\necho "ssh $*"\necho "Permission denied" >&2\n', {
    mode: 0o755,
  });
  const { stdout, why } = await run(["jump", "[2001:db8::1]:22", "ssh-tunnel-nas.jump"], "");
  expect(stdout).toBe("ssh -T -S none -W [2001:db8::1]:22 ssh-tunnel-nas.jump\n");
  expect(why).toBe("Permission denied");
});
