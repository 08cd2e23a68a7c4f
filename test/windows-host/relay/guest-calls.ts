import { closedObject, filledText, guidPattern, oneOf, SchemaError, text } from "@uvm-shim/hcs-schema";
import { Refusal } from "./refusal.ts";
import type { AddressEntry, Handler, Session } from "./session.ts";
import { localPath } from "./windows-paths.ts";

const emptyGuid = "00000000-0000-0000-0000-000000000000";
/** HVSOCKET_ADDRESS_FLAG_PASSTHRU. */
const passThrough = "1";

/** A GUID as Windows writes it. */
function braced(value: string | undefined): string {
  const guid = /^\{(.*)\}$/.exec(value ?? "")?.[1] ?? "";
  if (!guidPattern.test(guid)) throw new Refusal("E_INVALIDARG", `expected a GUID in braces, got ${value}`);
  return guid.toLowerCase();
}

function entryOf(session: Session, number: string | undefined): AddressEntry {
  const entry = session.relay.addressEntries.get(Number(number));
  if (entry?.owner !== session) throw new Refusal("E_INVALIDARG", `no entry ${number} is open`);
  return entry;
}

/** What is not checked may be anything: the guard has it. */
const operations = {
  AddInstance: closedObject<{ Id: string; CredentialSpec: string; Transport: "HvSocket" }>({
    Id: filledText,
    CredentialSpec: text,
    // Of what is emulated, a guard has no other clients than VMs.
    Transport: oneOf("HvSocket"),
  }),
  RemoveInstance: closedObject<{ Id: string }>({ Id: filledText }),
} as const;

/** Settings of HcsModifyServiceSettings for ContainerCredentialGuard. */
export async function modifyCredentialGuards(session: Session, settings: unknown): Promise<void> {
  const { Operation, OperationDetails } = asJson(() =>
    closedObject<{ Operation: "AddInstance" | "RemoveInstance"; OperationDetails: unknown }>({
      Operation: oneOf("AddInstance", "RemoveInstance"),
      OperationDetails: (value) => value,
    })(settings, "Settings"),
  );
  const client = await session.client();
  switch (Operation) {
    case "AddInstance": {
      const { Id, CredentialSpec } = asJson(() => operations.AddInstance(OperationDetails, "OperationDetails"));
      await client.call("addCredentialGuard", { container: Id, specification: CredentialSpec });
      return;
    }
    case "RemoveInstance": {
      const { Id } = asJson(() => operations.RemoveInstance(OperationDetails, "OperationDetails"));
      await client.call("removeCredentialGuard", { container: Id });
      return;
    }
  }
}

/** The answer of HcsGetServiceProperties for ContainerCredentialGuard. */
export async function credentialGuards(session: Session): Promise<object> {
  const { instances } = await (await session.client()).call("credentialGuards", {});
  return { Instances: instances };
}

function asJson<Value>(check: () => Value): Value {
  try {
    return check();
  } catch (error) {
    if (error instanceof SchemaError) throw new Refusal("HCS_E_INVALID_JSON", error.message);
    throw error;
  }
}

/** What vmcompute.dll and the front of kernel32.dll ask for Windows guests. */
export const guestCalls: { readonly [name: string]: Handler } = {
  NameToGuid: async (session, name = "") => {
    const { id } = await (await session.client()).call("layerId", { name });
    return `{${id.toUpperCase()}}`;
  },

  CreateSandboxLayer: async (session, path, ...parents) => {
    const client = await session.client();
    await client.call("createScratchLayer", { path: localPath(path), parents: parents.map(localPath) });
    return undefined;
  },

  HvSocketCreateEntry: async (session, name) => {
    const systemId = braced(name);
    const { addressEntries: entries } = session.relay;
    if ([...entries.values()].some((entry) => entry.systemId === systemId)) {
      throw new Refusal("ERROR_FILE_EXISTS", `${systemId} has an entry`);
    }
    const number = Math.max(0, ...entries.keys()) + 1;
    entries.set(number, { systemId, owner: session });
    return String(number);
  },

  HvSocketUpdateEntry: async (session, number, system, vm, silo, flags) => {
    const entry = entryOf(session, number);
    if (braced(system) !== entry.systemId || braced(silo) !== emptyGuid || flags !== passThrough) {
      throw new Refusal("E_INVALIDARG", "expected the entry's own system, no silo, and the flag PASSTHRU");
    }
    if (entry.redirection !== undefined) throw new Refusal("E_INVALIDARG", `${entry.systemId} leads to a VM already`);
    const client = await session.client();
    const { handle } = await client.call("redirectHvsockets", { system: entry.systemId, vm: braced(vm) });
    entry.redirection = { client, handle };
    return undefined;
  },

  HvSocketCloseEntry: async (session, number) => {
    const { redirection } = entryOf(session, number);
    session.relay.addressEntries.delete(Number(number));
    // One whose host is lost has ended with it.
    await redirection?.client.call("closeRedirection", { handle: redirection.handle }).catch(() => undefined);
    return undefined;
  },
};
