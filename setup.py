"""Packaging of ssl-recsys; tool settings live in pyproject.toml."""

import pathlib

import setuptools

_HERE = pathlib.Path(__file__).parent

setuptools.setup(
    name="ssl-recsys",
    version="0.1.0",
    description=(
        "Self-supervised learning for large-scale item retrieval: Beam data jobs, "
        "two-tower training with contrastive tasks, exact and ScaNN evaluation."
    ),
    long_description=(_HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.13",
    packages=setuptools.find_packages(include=["ssl_recsys*", "data_prep*", "pipelines*"]),
    package_data={
        "ssl_recsys": ["py.typed", "serving/page/*"],
        "data_prep": ["py.typed"],
        "pipelines": ["py.typed"],
    },
    # Floors without known security holes; constraints/ has the exact versions that the tests run
    # with (`make constraints` renews it). TensorFlow, tf-keras and ScaNN are built against each
    # other: raise the three together.
    install_requires=[
        "absl-py>=2.1",
        "apache-beam>=2.68,<2.80",
        "etils[epath]>=1.9,<2",
        "google-crc32c>=1.5,<2",
        "implicit>=0.7.2,<0.8",
        "matplotlib>=3.8",
        "numpy>=1.26,<3",
        "optuna>=4",
        "pyarrow>=14.0.1",
        "scikit-learn>=1.5",
        "scipy>=1.11",
        "scann[tf]>=1.4.2,<1.5; platform_system == 'Linux'",
        "sparse-dot-topn>=1.1,<2",
        "tensorflow>=2.20,<2.21",
        "tensorflow-datasets>=4.9.8,<5",
        "tensorflow-recommenders>=0.7.7,<0.8",
        "tf-keras>=2.20,<2.21",
        "threadpoolctl>=3.1",
        "tqdm>=4.66.3",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.20,<2.21"],
        "test": [
            "httpx>=0.27",
            "hypothesis>=6.100",
            "mwparserfromhell>=0.6.6",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
        ],
        "bench": ["gensim>=4.3", "mwparserfromhell>=0.6.6", "wikitextparser>=0.55"],
        # Tests of the server's page and of the report: besides, a Chromium.
        "browser": ["playwright>=1.56"],
        # Data jobs with gs:// paths or on Dataflow, and with s3:// paths.
        "gcp": ["apache-beam[gcp]>=2.68,<2.80"],
        "aws": ["apache-beam[aws]>=2.68,<2.80"],
        # The HTTP server and its page: python -m ssl_recsys.serve.
        "serve": ["fastapi>=0.115", "prometheus-client>=0.20", "uvicorn>=0.30"],
        # A hybrid among the baselines; on Python 3.10 and 3.11 pip compiles it. 1.18 does not load.
        "hybrid": ["lightfm-next>=1.19,<2"],
        # Requests made up from the server's OpenAPI description.
        "fuzz": ["schemathesis>=4"],
        # Tests on clusters: besides, Java 17 and Maven.
        "cluster": ["boto3>=1.34", "flask>=3", "flask-cors>=5", "moto[s3]>=5.0"],
        "dev": ["mypy>=1.13", "ruff>=0.8"],
    },
)
