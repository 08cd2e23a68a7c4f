/** Container credential guards: how a container without a domain account uses that of its credential specification. */
import { answerObject, checkGuid, list, oneOf, optional, text, truth } from "../check.ts";
import type { HvSocketServiceConfig } from "./document.ts";

/** What the guest is told of a guard, in its container's document. */
export interface CredentialGuardState {
  readonly Cookie?: string;
  readonly RpcEndpoint?: string;
  readonly Transport?: "LRPC" | "HvSocket";
  readonly CredentialSpec?: string;
}

/** A guard that the compute service runs for one container. */
export interface CredentialGuardInstance {
  /** The container's id. */
  readonly Id: string;
  readonly CredentialGuard: CredentialGuardState;
  /** The hvsocket service by which a VM reaches the guard, for the VM's service table. */
  readonly HvSocketConfig?: { readonly ServiceId: string; readonly ServiceConfig: HvSocketServiceConfig };
}

// The service of another build may return more fields.
/** A guard as the compute service returns it when one is added, and in the list of all. */
export const checkCredentialGuardInstance = answerObject<CredentialGuardInstance>({
  Id: text,
  CredentialGuard: answerObject<CredentialGuardState>({
    Cookie: optional(text),
    RpcEndpoint: optional(text),
    Transport: optional(oneOf("LRPC", "HvSocket")),
    CredentialSpec: optional(text),
  }),
  HvSocketConfig: optional(
    answerObject<NonNullable<CredentialGuardInstance["HvSocketConfig"]>>({
      ServiceId: checkGuid,
      ServiceConfig: answerObject<HvSocketServiceConfig>({
        BindSecurityDescriptor: optional(text),
        ConnectSecurityDescriptor: optional(text),
        AllowWildcardBinds: optional(truth),
        Disabled: optional(truth),
      }),
    }),
  ),
});

/** The guards of a host: the service property ContainerCredentialGuard of HcsGetServiceProperties. */
export const checkCredentialGuards = answerObject<{ readonly Instances?: readonly CredentialGuardInstance[] }>({
  Instances: optional(list(checkCredentialGuardInstance)),
});
