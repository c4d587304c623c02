export { Account, type AccountArgs } from "./account.ts";
export { adminConnection, type AdminConnection, type AdminLogin, throughTunnel } from "./adminConnection.ts";
export { AuthorizedKey, type AuthorizedKeyArgs } from "./authorizedKey.ts";
export { ClientConfig, type ClientConfigArgs } from "./clientConfig.ts";
export { FirewallPorts, type FirewallPortsArgs, type OpenPort } from "./firewallPorts.ts";
export type { Forward, ForwardArgs } from "./forward.ts";
export { HealthCheck, type HealthCheckArgs } from "./healthCheck.ts";
export type { Host } from "./host.ts";
export { HostFacts, type HostFactsArgs } from "./hostFacts.ts";
export { HostTools, type HostToolsArgs } from "./hostTools.ts";
export { InternalHost, type InternalHostArgs } from "./internalHost.ts";
export { type KeepAlive, type KeepAliveArgs, type KeepAlivePreset, keepAlivePresets } from "./keepAlive.ts";
export { KeyPair, type KeyPairArgs } from "./keyPair.ts";
export { KnownHost, type KnownHostArgs } from "./knownHost.ts";
export { PublicHost, type PublicHostArgs } from "./publicHost.ts";
export { RemotePorts, type RemotePortsArgs } from "./remotePorts.ts";
export {
  type Endpoint,
  type ReturnPathArgs,
  ReverseTunnel,
  type ReverseTunnelArgs,
} from "./reverseTunnel.ts";
export { SelinuxPorts, type SelinuxPortsArgs } from "./selinuxPorts.ts";
export { type ClientSide, SshLogin, type SshLoginArgs } from "./sshLogin.ts";
export { SshServer, type SshServerArgs } from "./sshServer.ts";
export type { StatusArgs } from "./status.ts";
export { TunnelCheck, type TunnelCheckArgs } from "./tunnelCheck.ts";
export { TunnelService, type TunnelServiceArgs } from "./tunnelService.ts";
