"""A file system of Beam's in memory, `bucket://`: no directories, and an option without which it
cannot be used, as with s3:// and gs://."""

import io

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem
from apache_beam.options.pipeline_options import S3Options

OPTIONS = ["--s3_region_name=here"]
FILES: dict[str, bytes] = {}


class _Written(io.BytesIO):
    def __init__(self, path):
        super().__init__()
        self._path = path

    def close(self):
        if not self.closed:
            FILES[self._path] = self.getvalue()
        super().close()


class Bucket(FileSystem):
    def __init__(self, pipeline_options):
        super().__init__(pipeline_options)
        options = pipeline_options and pipeline_options.view_as(S3Options)
        if not options or options.s3_region_name != "here":
            raise ValueError("the bucket's region is not known")

    @classmethod
    def scheme(cls):
        return "bucket"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def mkdirs(self, path):
        raise AssertionError("a bucket has no directories")

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for path, content in sorted(FILES.items()):
            if path.startswith(dir_or_prefix):
                yield FileMetadata(path, len(content), 0)

    def create(self, path, mime_type=None, compression_type=None):
        return _Written(path)

    def open(self, path, mime_type=None, compression_type=None):
        if path not in FILES:
            raise BeamIOError(f"no object {path}")
        return io.BytesIO(FILES[path])

    def copy(self, source_file_names, destination_file_names):
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            FILES[destination] = FILES[source]

    def rename(self, source_file_names, destination_file_names):
        self.copy(source_file_names, destination_file_names)
        self.delete(source_file_names)

    def exists(self, path):
        return path in FILES

    def size(self, path):
        return len(FILES[path])

    def last_updated(self, path):
        return 0

    def checksum(self, path):
        return str(self.size(path))

    def metadata(self, path):
        return FileMetadata(path, self.size(path), 0)

    def delete(self, paths):
        for path in paths:
            for name in [name for name in FILES if name == path or path[-1] == "/"]:
                if name.startswith(path):
                    del FILES[name]
