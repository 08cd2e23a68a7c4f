import type { SchemaTypes } from "./schema.ts";

/** Live migration, as microsoft/hcsshim uses it; the public reference does not have it. */
export const migrationTypes = {
  MigrationInitializeOptions: {
    Origin: "MigrationOrigin 26100",
    MemoryTransport: "MigrationMemoryTransport 26100",
    MemoryTransferThrottleParams: "MemoryMigrationTransferThrottleParams 26100",
    CompressionSettings: "MigrationCompressionSettings 26100",
    ChecksumVerification: "bool 26100",
    PerfTracingEnabled: "bool 26100",
    CancelIfBlackoutThresholdExceeds: "bool 26100",
    PrepareMemoryTransferMode: "bool 26100",
    CompatibilityData: "CompatibilityInfo 26100",
  },
  MigrationOrigin: ["Source 26100", "Destination 26100"],
  MigrationMemoryTransport: ["TCP 26100"],
  MemoryMigrationTransferThrottleParams: {
    SkipThrottling: "bool 26100",
    ThrottlingScale: "double 26100",
    MinimumThrottlePercentage: "uint8 26100",
    TargetNumberOfBrownoutTransferPasses: "uint32 26100",
    StartingBrownoutPassNumberForThrottling: "uint32 26100",
    MaximumNumberOfBrownoutTransferPasses: "uint32 26100",
    TargetBlackoutTransferTime: "uint32 26100",
    BlackoutTimeThresholdForCancellingMigration: "uint32 26100",
  },
  MigrationCompressionSettings: {
    ThrottleWorkerCount: "uint32 26100",
  },
  CompatibilityInfo: {
    Data: "ByteArray 26100",
  },
  MigrationFinalizedOptions: {
    Origin: "MigrationOrigin 26100",
    FinalizedOperation: "MigrationFinalOperation 26100",
  },
  MigrationFinalOperation: ["Resume 26100", "Stop 26100"],
  MigrationTransferOptions: {
    Origin: "MigrationOrigin 26100",
  },
  MigrationCancelOptions: {
    Origin: "MigrationOrigin 26100",
  },
  StartOptions: {
    DestinationMigrationOptions: "MigrationStartOptions 26100",
  },
  MigrationStartOptions: {
    NetworkSettings: "MigrationNetworkSettings 26100",
  },
  MigrationNetworkSettings: {
    SessionId: "uint32 26100",
  },
  OperationSystemMigrationNotificationInfo: {
    Origin: "MigrationOrigin 26100",
    Event: "MigrationEvent 26100",
    Result: "MigrationResult 26100",
    AdditionalDetails: "Any 26100",
  },
  MigrationEvent: [
    "Unknown 26100",
    "MigrationDone 26100",
    "BlackoutStarted 26100",
    "OfflineDone 26100",
    "BlackoutExited 26100",
    "SetupDone 26100",
    "TransferInProgress 26100",
    "MigrationRecoveryDone 26100",
    "MigrationFailed 26100",
  ],
  MigrationResult: [
    "Invalid 26100",
    "Success 26100",
    "MigrationCancelled 26100",
    "GuestInitiatedCancellation 26100",
    "SourceMigrationFailed 26100",
    "DestinationMigrationFailed 26100",
    "MigrationRecoveryFailed 26100",
  ],
  BlackoutExitedEventDetails: {
    BlackoutDurationMilliseconds: "uint64 26100",
    BlackoutStopTimestamp: "DateTime 26100",
  },
} as const satisfies SchemaTypes;
