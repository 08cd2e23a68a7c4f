import { Structure } from "./structures.ts";

/** The members of a SYSTEMTIME. */
const date = <Name extends string>(name: Name) =>
  ({
    [`${name}.wYear`]: "uint16",
    [`${name}.wMonth`]: "uint16",
    [`${name}.wDayOfWeek`]: "uint16",
    [`${name}.wDay`]: "uint16",
    [`${name}.wHour`]: "uint16",
    [`${name}.wMinute`]: "uint16",
    [`${name}.wSecond`]: "uint16",
    [`${name}.wMilliseconds`]: "uint16",
  }) as { readonly [Member in `${Name}.${SystemTimeMember}`]: "uint16" };

type SystemTimeMember = "wYear" | "wMonth" | "wDayOfWeek" | "wDay" | "wHour" | "wMinute" | "wSecond" | "wMilliseconds";

/** Structures of the headers of Winsock, kernel32 and advapi32. */
export const systemStructures = {
  OVERLAPPED: new Structure({
    Internal: "uint64",
    InternalHigh: "uint64",
    Offset: "uint32",
    OffsetHigh: "uint32",
    hEvent: "pointer",
  }),
  OVERLAPPED_ENTRY: new Structure({
    lpCompletionKey: "pointer",
    lpOverlapped: "pointer",
    Internal: "uint64",
    dwNumberOfBytesTransferred: "uint32",
  }),
  SOCKADDR_HV: new Structure({ Family: "uint16", Reserved: "uint16", VmId: "guid", ServiceId: "guid" }),
  HVSOCKET_ADDRESS_INFO: new Structure({
    SystemId: "guid",
    VirtualMachineId: "guid",
    SiloId: "guid",
    Flags: "uint32",
  }),
  TIME_ZONE_INFORMATION: new Structure({
    Bias: "int32",
    StandardName: "wide32",
    ...date("StandardDate"),
    StandardBias: "int32",
    DaylightName: "wide32",
    ...date("DaylightDate"),
    DaylightBias: "int32",
  }),
  WSABUF: new Structure({ len: "uint32", buf: "pointer" }),
  SECURITY_ATTRIBUTES: new Structure({
    nLength: "uint32",
    lpSecurityDescriptor: "pointer",
    bInheritHandle: "int32",
  }),
  JOBOBJECT_EXTENDED_LIMIT_INFORMATION: new Structure({
    "BasicLimitInformation.PerProcessUserTimeLimit": "uint64",
    "BasicLimitInformation.PerJobUserTimeLimit": "uint64",
    "BasicLimitInformation.LimitFlags": "uint32",
    "BasicLimitInformation.MinimumWorkingSetSize": "uint64",
    "BasicLimitInformation.MaximumWorkingSetSize": "uint64",
    "BasicLimitInformation.ActiveProcessLimit": "uint32",
    "BasicLimitInformation.Affinity": "uint64",
    "BasicLimitInformation.PriorityClass": "uint32",
    "BasicLimitInformation.SchedulingClass": "uint32",
    "IoInfo.ReadOperationCount": "uint64",
    "IoInfo.WriteOperationCount": "uint64",
    "IoInfo.OtherOperationCount": "uint64",
    "IoInfo.ReadTransferCount": "uint64",
    "IoInfo.WriteTransferCount": "uint64",
    "IoInfo.OtherTransferCount": "uint64",
    ProcessMemoryLimit: "uint64",
    JobMemoryLimit: "uint64",
    PeakProcessMemoryUsed: "uint64",
    PeakJobMemoryUsed: "uint64",
  }),
  PROCESS_MEMORY_COUNTERS: new Structure({
    cb: "uint32",
    PageFaultCount: "uint32",
    PeakWorkingSetSize: "uint64",
    WorkingSetSize: "uint64",
    QuotaPeakPagedPoolUsage: "uint64",
    QuotaPagedPoolUsage: "uint64",
    QuotaPeakNonPagedPoolUsage: "uint64",
    QuotaNonPagedPoolUsage: "uint64",
    PagefileUsage: "uint64",
    PeakPagefileUsage: "uint64",
  }),
  FILE_ATTRIBUTE_TAG_INFO: new Structure({ FileAttributes: "uint32", ReparseTag: "uint32" }),
  SERVICE_STATUS: new Structure({
    dwServiceType: "uint32",
    dwCurrentState: "uint32",
    dwControlsAccepted: "uint32",
    dwWin32ExitCode: "uint32",
    dwServiceSpecificExitCode: "uint32",
    dwCheckPoint: "uint32",
    dwWaitHint: "uint32",
  }),
  SERVICE_TABLE_ENTRYW: new Structure({ lpServiceName: "pointer", lpServiceProc: "pointer" }),
  /** The SID it points to follows in the same buffer. */
  TOKEN_USER: new Structure({ "User.Sid": "pointer", "User.Attributes": "uint32" }),
} as const;
