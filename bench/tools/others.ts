import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { Pair } from "../pair.ts";
import type { Tool } from "./tool.ts";

/** The units that frp and rathole provide; chisel provides none and gets the same. */
const RESTART = ["Restart=on-failure", "RestartSec=5s"];
const SECRET = "9f2c4a71d05e8b36";

/** frp: TLS, one connection for all. */
export const frp: Tool = {
  id: "frp",
  title: "frp",
  settings: "default settings (TLS, one connection for all), in the units that it brings",
  port: 8005,
  client: { process: "frpc", unit: () => "bench-frp" },
  server: "bench-frps",
  source: "frp@v0.70.0",
  async install(pair, programs) {
    const { gate, nas } = pair;
    await pair.copy(gate, join(programs, "frps"), "/usr/local/bin/frps");
    await pair.copy(nas, join(programs, "frpc"), "/usr/local/bin/frpc");
    const token = `auth.token = "${SECRET}"`;
    await pair.put(gate, "/etc/frp/frps.toml", lines("bindPort = 7005", token));
    const client = [`serverAddr = "${gate.address}"`, "serverPort = 7005", token];
    const proxy = ['name = "answer"', 'type = "tcp"', 'localIP = "127.0.0.1"', "localPort = 7000"];
    const proxies = ["[[proxies]]", ...proxy, `remotePort = ${frp.port}`];
    await pair.put(nas, "/etc/frp/frpc.toml", lines(...client, ...proxies));
    const server = "ExecStart=/usr/local/bin/frps -c /etc/frp/frps.toml";
    await services(pair, "frp", server, "ExecStart=/usr/local/bin/frpc -c /etc/frp/frpc.toml");
  },
};

/** chisel: SSH in a websocket. */
export const chisel: Tool = {
  id: "chisel",
  title: "chisel",
  settings: "default settings (SSH in a websocket), in units like those of frp",
  port: 8006,
  client: { process: "chisel", unit: () => "bench-chisel" },
  server: "bench-chisels",
  source: "chisel@v1.11.3",
  async install(pair, programs) {
    const { gate, nas } = pair;
    for (const host of [gate, nas]) await pair.copy(host, join(programs, "chisel"), "/usr/local/bin/chisel");
    const server = `ExecStart=/usr/local/bin/chisel server --reverse --auth bench:${SECRET} --port 7006`;
    const remote = `R:0.0.0.0:${chisel.port}:127.0.0.1:7000`;
    const client = `ExecStart=/usr/local/bin/chisel client --auth bench:${SECRET} http://${gate.address}:7006 ${remote}`;
    await services(pair, "chisel", server, client);
  },
};

/** rathole: the noise protocol, its encryption without certificates. */
export const rathole: Tool = {
  id: "rathole",
  title: "rathole",
  settings:
    "default settings with the noise transport (without it, nothing is encrypted), in the units that it brings; built with the features `embedded`",
  port: 8007,
  client: { process: "rathole", unit: () => "bench-rathole" },
  server: "bench-ratholes",
  source: "rathole@0.5.0",
  async install(pair, programs) {
    const { gate, nas } = pair;
    for (const host of [gate, nas])
      await pair.copy(host, join(programs, "rathole"), "/usr/local/bin/rathole");
    const keys = execFileSync(join(programs, "rathole"), ["--genkey"], { encoding: "utf8" }).split("\n");
    const transport = (side: string, key: string) => [
      `[${side}.transport]`,
      'type = "noise"',
      `[${side}.transport.noise]`,
      key,
    ];
    await pair.put(
      gate,
      "/etc/rathole/server.toml",
      lines(
        ...["[server]", 'bind_addr = "0.0.0.0:7007"', `default_token = "${SECRET}"`],
        ...transport("server", `local_private_key = "${keys[1]?.trim()}"`),
        ...["[server.services.answer]", `bind_addr = "0.0.0.0:${rathole.port}"`],
      ),
    );
    await pair.put(
      nas,
      "/etc/rathole/client.toml",
      lines(
        ...["[client]", `remote_addr = "${gate.address}:7007"`, `default_token = "${SECRET}"`],
        ...transport("client", `remote_public_key = "${keys[4]?.trim()}"`),
        ...["[client.services.answer]", 'local_addr = "127.0.0.1:7000"'],
      ),
    );
    const program = "ExecStart=/usr/local/bin/rathole";
    const server = `${program} --server /etc/rathole/server.toml`;
    await services(pair, "rathole", server, `${program} --client /etc/rathole/client.toml`);
  },
};

async function services(pair: Pair, name: string, server: string, client: string): Promise<void> {
  await pair.unit(pair.gate, `bench-${name}s`, [server, ...RESTART]);
  await pair.gate.run(`systemctl enable --quiet bench-${name}s`);
  await pair.unit(pair.nas, `bench-${name}`, [client, ...RESTART]);
  await pair.nas.run(`systemctl enable --quiet bench-${name}`);
}

function lines(...all: string[]): string {
  return all.join("\n") + "\n";
}
