"""Wikipedia dumps: from compressed XML to pages, to the graph of links, to a dataset."""
