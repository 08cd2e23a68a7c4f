/** What a Windows guest is told to create: the Container of HCS's schema, as far as the shim fills it in. */
import type { WindowsLayer } from "@uvm-shim/hcs-schema";

/** What a guest is told to create. */
export interface HostedSystem {
  readonly SchemaVersion: { readonly Major: number; readonly Minor: number };
  readonly Container: WindowsContainerDocument;
}

/** In a confidential VM, whose guest checks the specification against its policy. */
export interface ConfidentialHostedSystem {
  readonly Spec: object;
  readonly CWCOWHostedSystem: HostedSystem;
}

/** A container by HCS's schema, in the fields that a shim fills in. */
export interface WindowsContainerDocument {
  readonly GuestOs?: { readonly HostName: string };
  readonly Storage: {
    readonly Layers?: readonly WindowsLayer[];
    readonly Path?: string;
    readonly QoS?: { readonly BandwidthMaximum?: number; readonly IopsMaximum?: number };
    readonly PrivilegedContainerRootPath?: string;
  };
  readonly MappedDirectories?: readonly {
    readonly HostPath: string;
    readonly ContainerPath: string;
    readonly ReadOnly?: true;
  }[];
  readonly MappedPipes?: readonly { readonly ContainerPipeName: string; readonly HostPath: string }[];
  readonly Memory?: { readonly SizeInMB: number | bigint };
  readonly Processor: { readonly Count?: number; readonly Maximum?: number; readonly Weight?: number };
  readonly Networking?: {
    readonly Namespace?: string;
    readonly AllowUnqualifiedDnsQuery?: true;
    readonly DnsSearchList?: string;
    readonly NetworkSharedContainerName?: string;
  };
  readonly ContainerCredentialGuard?: CredentialGuardState;
  readonly RegistryChanges: { readonly AddValues: readonly object[] };
  readonly AssignedDevices?: readonly { readonly Type: "DeviceInstance"; readonly LocationPath: string }[];
  readonly AdditionalDeviceNamespace?: object;
  readonly IsolationType?: "HostProcess";
}

/** How a container reaches its credential guard. */
export interface CredentialGuardState {
  readonly Cookie?: string;
  readonly RpcEndpoint?: string;
  readonly Transport?: "LRPC" | "HvSocket";
  readonly CredentialSpec?: string;
}
