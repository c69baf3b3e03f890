export type { ProtobufSerializerOptions } from './protobuf-options.ts';
export { ProtobufSerializer } from './protobuf-serializer.ts';
export type { FieldForms, ProtobufType } from './protobuf-type.ts';
export {
  descriptorTypes,
  type LoadProtoFilesOptions,
  loadProtoFiles,
  type ProtobufTypes,
  reflectedTypes,
  staticTypes,
} from './protobuf-types.ts';
